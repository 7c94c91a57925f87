"""Who is in the study: invented people, staff and an invented hospital, with all that a header would betray of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, kw_only=True)
class Person:
    """One subject as the hospital knows them. Names are DICOM person names (`family^given^middle^prefix^suffix`)."""

    name: str
    patient_id: str
    other_ids: tuple[str, ...]
    birth_date: date
    birth_name: str
    sex: str
    size_m: float
    weight_kg: float
    address: str
    telephone: str
    insurance: str
    occupation: str
    comment: str

    def age(self, day: date) -> int:
        """Give the age in whole years."""
        return day.year - self.birth_date.year - ((day.month, day.day) < (self.birth_date.month, self.birth_date.day))

    @property
    def family_name(self) -> str:
        """Give the family name alone."""
        return self.name.split("^")[0]

    @property
    def given_name(self) -> str:
        """Give the first given name alone."""
        return self.name.split("^")[1].split(" ")[0]


@dataclass(frozen=True, kw_only=True)
class Site:
    """The hospital, its scanner and its staff."""

    institution: str
    address: str
    department: str
    station: str
    device_serial: str
    referring_physicians: tuple[str, ...]
    performing_physician: str
    requesting_physician: str
    reading_physician: str
    operators: tuple[str, ...]
    telephone: str


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One visit to the scanner.

    Attributes
    ----------
    contrast:
        Whether T1w follows an injection of contrast agent.
    offset_mm:
        Where the middle of the head lies (LPS): nobody lies down twice in the same place.
    tilt_degrees:
        Of the transverse slices, about the left-right axis.
    heart_rate, breathing_rate:
        Mean, 1/min.
    ecg_ends:
        Fraction of the diffusion series after which the ECG stops (an electrode came off), or None.
    """

    start: datetime
    contrast: bool
    accession_number: str
    study_id: str
    offset_mm: tuple[float, float, float]
    tilt_degrees: float
    heart_rate: float
    breathing_rate: float
    ecg_ends: float | None = None


SITE = Site(
    institution="Universitätsklinikum Göhrenfels",
    address="Am Lindenhügel 7, 37099 Göhrenfels, Deutschland",
    department="Institut für Neuroradiologie Haus B3",
    station="MRTGOEH02",
    device_serial="166999",
    referring_physicians=("Brömmelkamp^Hannelore^^Dr. med.", "Szczepanik^Marek"),
    performing_physician="Østerby^Søren^^PD Dr.",
    requesting_physician="Großkreutz^Wiebke^^Dr.",
    reading_physician="Thürnagel^Ottokar^^Prof. Dr.",
    operators=("Kowalczyk^Jolanta", "Yüksekdag^Emre"),
    telephone="+49 551 9990471",
)

PERSONS = (
    Person(
        name="Müllerschön^Jürgen^Karl",
        patient_id="HB0471100",
        other_ids=("GOE-88123457", "K7719284"),
        birth_date=date(1964, 11, 23),
        birth_name="Müllerschön^Jürgen",
        sex="M",
        size_m=1.83,
        weight_kg=84.5,
        address="Fliederstraße 12a, 37073 Göhrenfels",
        telephone="0551-7730912",
        insurance="AOK Südharz",
        occupation="Uhrmachermeister",
        comment="Herr Müllerschön wünscht Rückruf unter 0551-7730912 nach 17 Uhr",
    ),
    Person(
        name="Lindqvist-Ødegård^Åse^Maria",
        patient_id="UMG20231187",
        other_ids=("GOE-88145502", "K5512083"),
        birth_date=date(1996, 2, 9),
        birth_name="Ødegård^Åse",
        sex="F",
        size_m=1.69,
        weight_kg=61.0,
        address="Käthe-Paulus-Weg 3, 37085 Göhrenfels",
        telephone="0170-5550187",
        insurance="Heilbutt Krankenkasse",
        occupation="Cellistin",
        comment="Frau Lindqvist-Ødegård ist klaustrophob, Begleitperson Bjarne Ødegård",
    ),
    Person(
        name="Weißenfels^Friedrich^^Prof. Dr.",
        patient_id="0008150042",
        other_ids=("GOE-87000019", "K1200456"),
        birth_date=date(1931, 6, 30),
        birth_name="Weißenfels^Friedrich",
        sex="M",
        size_m=1.72,
        weight_kg=70.0,
        address="Am Königsgraben 101, 37120 Bovendorf",
        telephone="05594-88321",
        insurance="Debekina Privat",
        occupation="Bergassessor",
        comment="Prof. Weißenfels, Hörgerät vor Messung entfernen, Tochter Gerlinde Pfützenreuter anrufen",
    ),
)

VISITS: tuple[tuple[Visit, Visit], ...] = (
    (
        Visit(
            start=datetime(2023, 5, 4, 9, 12, 31),  # noqa: DTZ001 - scanners write local time without a zone
            contrast=False,
            accession_number="ACC7730041",
            study_id="40815",
            offset_mm=(1.5, -6.0, 3.0),
            tilt_degrees=-9.0,
            heart_rate=68.0,
            breathing_rate=14.0,
        ),
        Visit(
            start=datetime(2023, 6, 15, 14, 3, 7),  # noqa: DTZ001
            contrast=True,
            accession_number="ACC7730698",
            study_id="41377",
            offset_mm=(-2.0, -4.0, -1.5),
            tilt_degrees=-7.0,
            heart_rate=73.0,
            breathing_rate=15.5,
        ),
    ),
    (
        Visit(
            start=datetime(2023, 5, 9, 11, 45, 2),  # noqa: DTZ001
            contrast=False,
            accession_number="ACC7730102",
            study_id="40877",
            offset_mm=(0.5, -2.5, 5.0),
            tilt_degrees=-11.0,
            heart_rate=58.0,
            breathing_rate=12.0,
        ),
        Visit(
            start=datetime(2023, 6, 6, 8, 30, 55),  # noqa: DTZ001
            contrast=True,
            accession_number="ACC7730555",
            study_id="41190",
            offset_mm=(2.5, -3.0, 2.0),
            tilt_degrees=-10.0,
            heart_rate=62.0,
            breathing_rate=13.0,
            ecg_ends=0.6,
        ),
    ),
    (
        Visit(
            start=datetime(2023, 5, 16, 16, 20, 44),  # noqa: DTZ001
            contrast=False,
            accession_number="ACC7730240",
            study_id="40990",
            offset_mm=(-1.0, -5.0, 0.0),
            tilt_degrees=-14.0,
            heart_rate=82.0,
            breathing_rate=18.0,
        ),
        Visit(
            start=datetime(2023, 7, 11, 10, 5, 19),  # noqa: DTZ001
            contrast=True,
            accession_number="ACC7731102",
            study_id="41811",
            offset_mm=(0.0, -7.0, 1.0),
            tilt_degrees=-12.0,
            heart_rate=79.0,
            breathing_rate=17.0,
        ),
    ),
)
