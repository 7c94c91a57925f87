"""What scanner staff type into free texts."""

from __future__ import annotations

from typing import Final

from heartbrain_ingest.deidentify.selftest.headers import WHO
from heartbrain_ingest.deidentify.table import Option

#: (text, what must be gone, what it is).
FREE_TEXTS: Final = (
    (f"t1_mprage {WHO.family}", (WHO.family,), "the patient's family name"),
    (f"t1_mprage_{WHO.given.upper()}_2", (WHO.given,), "the patient's given name in capitals"),
    (f"t1_mprage {WHO.patient_id}", (WHO.patient_id, "5550173"), "the PatientID"),
    ("t1_mprage 14.03.2019", ("14.03.2019", "2019"), "a date with points"),
    ("t1_mprage 3/14/2019", ("3/14/2019", "2019"), "an American date"),
    ("t1_mprage 2019-03-14", ("2019-03-14", "2019"), "an ISO date"),
    ("t1_mprage 14 Mar 2019", ("14 Mar",), "a date with the month in letters"),
    ("t1_mprage geb. 12.4.1931", ("12.4.1931", "1931"), "a birth date"),
    ("t1_mprage 1.3.12.2.1107.5.2.43.67060.3", ("67060",), "a UID"),
    (f"t1_mprage {WHO.telephone}", ("5550199", "555 0199"), "a phone number"),
    ("t1_mprage Tel. 0551/39-61234", ("61234",), "a phone number that no header holds"),
    ("t1_mprage m.huber@klinik.example", ("huber", "klinik"), "a mail address"),
    ("t1_mprage Dr. Vossbeck", ("Vossbeck",), "somebody with a title"),
    ("t1_mprage Frau Lindqvist", ("Lindqvist",), "Frau and a name"),
    ("t1_mprage Herr Oberle", ("Oberle",), "Herr and a name"),
    ("t1_mprage Fr. Prof. Dr. Wanzek", ("Wanzek",), "several titles and a name"),
    ("t1_mprage geb. Lindqvist", ("Lindqvist",), "a name at birth"),
    ("t1_mprage KVNR A123456780", ("A123456780",), "an insurance number"),
    ("t1_mprage SSN 078-05-1120", ("078-05-1120",), "a social security number"),
    (f"t1_mprage {WHO.operator}", (WHO.operator,), "the operator"),
    (f"t1_mprage {WHO.institution}", ("Oberquellmoor",), "the institution"),
    (f"t1_mprage {WHO.city}", (WHO.city,), "the city of the institution"),
)

#: What an option keeps on purpose.
RETAINED: Final = {
    Option.DEVICE_IDENTITY: ("a serial number in a protocol",),
    Option.INSTITUTION_IDENTITY: (
        "the institution",
        "the city of the institution",
        "the institution in a protocol",
    ),
}
