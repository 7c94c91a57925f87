"""What the rules may ask beyond header and sidecar: facts that vendors write in many ways, told in one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from heartbrain_ingest.bids.model import Candidate

#: Every fact and what it is; the rules refuse other lower-case names.
FACTS: dict[str, str] = {
    "name": "SeriesDescription and ProtocolName as they are, one a line",
    "words": "the same in lower case, every run of other characters than letters and digits turned into one space",
    "sequence": "all names of the pulse sequence in the header and sidecar, lower case, separated by spaces",
    "manufacturer": "siemens, ge, philips, uih, canon or other",
    "image_type": "the entries of ImageType of header and sidecar and of ImageTypeText, upper case",
    "comments": "ImageComments",
    "acquisition": "2D or 3D",
    "dimensions": "number of dimensions of the image",
    "slices": "number of slices",
    "volumes": "number of volumes (1 for a single one)",
    "matrix": "the larger in-plane number of voxels",
    "voxel_max": "the largest edge of a voxel, mm",
    "b_count": "number of different b-values",
    "b_max": "largest b-value, s/mm²",
    "b_low": "number of different b-values above 0 and up to 200 s/mm²",
    "echo_time": "EchoTime in seconds",
    "repetition_time": "RepetitionTime in seconds",
    "inversion_time": "InversionTime in seconds",
    "flip_angle": "FlipAngle in degrees",
    "part": "mag, phase, real or imag",
    "direction": "phase encoding direction as a label (AP, PA ...); from the name only where the axis agrees",
    "contrast": "label of the contrast agent; empty without one",
    "guess_datatype": "datatype of dcm2niix's BidsGuess",
    "guess_suffix": "suffix of dcm2niix's BidsGuess",
    "label": "the words of the name without the ignored words, joined",
}
#: Entities that ReproIn-like names spell out (``func_task-rest_acq-mb4``); ``{name.task}`` gives their label.
NAME_ENTITIES = ("acq", "ce", "chunk", "dir", "flip", "inv", "mt", "rec", "run", "task")

_SEQUENCE_FIELDS = ("SequenceName", "PulseSequenceName", "InternalPulseSequenceName", "PulseSequenceDetails")
_MANUFACTURERS = {
    "siemens": "siemens",
    "philips": "philips",
    "uih": "uih",
    "united imaging": "uih",
    "canon": "canon",
    "toshiba": "canon",
    "ge": "ge",
}
# Along the patient axes of DICOM (x to the left, y to the back, z to the head): where positive and negative lead.
_AXES = (("RL", "LR"), ("AP", "PA"), ("IS", "SI"))
_DIRECTION_WORD = re.compile(r"\b(ap|pa|lr|rl|si|is|hf|fh)\b")
_DIRECTION_SYNONYMS = {"HF": "SI", "FH": "IS"}
_DISPLAYED = re.compile(r"\s*([APLRHFSI])\s*->\s*([APLRHFSI])\s*", re.IGNORECASE)
# InPlanePhaseEncodingDirection as vendors write it -> the axis of the image, as PhaseEncodingDirection calls it.
_IN_PLANE = {"ROW": "i", "COL": "j", "COLUMN": "j"}
_NO_AGENT = re.compile(r"^\s*(0|n|no|none|no contrast|ohne|kein\w*|nativ\w*|-|n/?a)?\s*$", re.IGNORECASE)
_CONTRAST_WORD = re.compile(
    r"\b(km|gd|gad|gado\w*|gadovist|dotarem|contrast|kontrast|postgd|post gd|ce|post contrast)\b"
)
_NATIVE_WORD = re.compile(r"\b(ohne|nativ|native|pre|vor|before|non|no|without)\b")
_PARTS = {"P": "phase", "PHASE": "phase", "R": "real", "REAL": "real", "I": "imag", "IMAGINARY": "imag"}
_VECTOR_LENGTH = 6


def describe(candidate: Candidate, ignored_words: Iterable[str] = ()) -> dict[str, Any]:
    """Compute every fact of an image.

    Parameters
    ----------
    candidate
        The image.
    ignored_words
        Words that say nothing about a protocol and are left out of ``label``.

    Returns
    -------
    dict
        Fact -> value, None where the image does not tell; ``name.<entity>`` for entities spelled out in the name.
    """
    header, sidecar = candidate.header, candidate.sidecar
    name = "\n".join(_unique(_texts(header, sidecar, ("SeriesDescription", "ProtocolName"))))
    words = normalise(name)
    guess = [str(part) for part in sidecar.get("BidsGuess") or ("", "")]
    image_type = _image_type(header, sidecar)
    b_values = sorted({round(value) for value in candidate.b_values})
    facts: dict[str, Any] = {
        "name": name,
        "words": words,
        "sequence": " ".join(_unique(_texts(header, sidecar, _SEQUENCE_FIELDS))).lower(),
        "manufacturer": _manufacturer(str(header.get("Manufacturer") or sidecar.get("Manufacturer") or "")),
        "image_type": image_type,
        "comments": str(header.get("ImageComments") or sidecar.get("ImageComments") or ""),
        "acquisition": sidecar.get("MRAcquisitionType") or header.get("MRAcquisitionType"),
        "dimensions": len(candidate.shape),
        "slices": candidate.shape[2] if len(candidate.shape) > 2 else 1,  # noqa: PLR2004 - i, j, k
        "volumes": candidate.shape[3] if len(candidate.shape) > 3 else 1,  # noqa: PLR2004 - i, j, k, t
        "matrix": max(candidate.shape[:2], default=0),
        "voxel_max": max(candidate.voxel_size, default=0.0),
        "b_count": len(b_values) or None,
        "b_max": b_values[-1] if b_values else None,
        "b_low": sum(1 for value in b_values if 0 < value <= 200) if b_values else None,  # noqa: PLR2004 - as documented
        "echo_time": _seconds(header, sidecar, "EchoTime"),
        "repetition_time": _seconds(header, sidecar, "RepetitionTime"),
        "inversion_time": _seconds(header, sidecar, "InversionTime"),
        "flip_angle": _number(sidecar.get("FlipAngle", header.get("FlipAngle"))),
        "part": _part(header, sidecar),
        "direction": direction(header, sidecar) or _direction_of_name(header, sidecar, words),
        "contrast": _contrast(header, sidecar, words),
        "guess_datatype": guess[0] or None,
        "guess_suffix": guess[-1].rpartition("_")[2] or None,
    }
    ignored = frozenset(ignored_words)
    facts["label"] = "".join(word for word in protocol_words(candidate) if word not in ignored)
    for entity in NAME_ENTITIES:
        spelled = re.search(rf"(?:^|_){entity}-([A-Za-z0-9]+)", name, re.MULTILINE)
        facts[f"name.{entity}"] = spelled[1] if spelled else None
    return facts


def normalise(text: str) -> str:
    """Turn a protocol name into lower-case words separated by single spaces."""
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


def protocol_words(candidate: Candidate) -> list[str]:
    """Give the words of the protocol's name: SeriesDescription, or ProtocolName where there is none, each word once."""
    texts = list(_texts(candidate.header, candidate.sidecar, ("SeriesDescription", "ProtocolName")))
    return _unique(normalise(texts[0]).split()) if texts else []


def direction(header: Mapping[str, Any], sidecar: Mapping[str, Any]) -> str | None:
    """Name the phase encoding direction in the patient's frame.

    The axes of a dcm2niix image are those of the DICOM image with the second one turned round, so that ``j`` leads
    against the direction of the columns (PS3.3 C.7.6.2.1.1): ``j-`` of an axial image is AP.

    Returns
    -------
    str or None
        Two letters, from where to where; None when the header does not tell the polarity.
    """
    encoding = sidecar.get("PhaseEncodingDirection")
    found = _patient_axis(header, sidecar, encoding[:1]) if isinstance(encoding, str) else None
    if found is None:
        return None
    axis, positive = found
    return _AXES[axis][0 if positive != str(encoding).endswith("-") else 1]


def _patient_axis(header: Mapping[str, Any], sidecar: Mapping[str, Any], axis: str) -> tuple[int, bool] | None:
    """Give the patient axis (0 to 2) that an axis of the image runs along, and whether both point the same way."""
    vectors = sidecar.get("ImageOrientationPatientDICOM") or header.get("ImageOrientationPatient")
    if axis not in {"i", "j"} or not vectors or len(vectors) != _VECTOR_LENGTH:
        return None
    row, column = [float(value) for value in vectors[:3]], [-float(value) for value in vectors[3:]]
    vector = row if axis == "i" else column
    along = max(range(3), key=lambda index: abs(vector[index]))
    return along, vector[along] > 0


def _direction_of_name(header: Mapping[str, Any], sidecar: Mapping[str, Any], words: str) -> str | None:
    """Give the direction that the scanner displays (UIH), else the one that the name says; the polarity is not known.

    Canon, Philips and older UIH headers tell the axis alone: a name that contradicts it says nothing about phase
    encoding ("sag_ap" may mean a projection).
    """
    displayed = _DISPLAYED.fullmatch(str(sidecar.get("PhaseEncodingDirectionDisplayed") or ""))
    found = (
        {"".join(displayed.groups()).upper()} if displayed else {str(w).upper() for w in _DIRECTION_WORD.findall(words)}
    )
    if len(found) != 1:
        return None
    label = _DIRECTION_SYNONYMS.get(*found, *found)
    plane = sidecar.get("InPlanePhaseEncodingDirectionDICOM") or header.get("InPlanePhaseEncodingDirection")
    known = _patient_axis(header, sidecar, _IN_PLANE.get(str(plane).upper(), ""))
    return label if known is None or label in _AXES[known[0]] else None


def _contrast(header: Mapping[str, Any], sidecar: Mapping[str, Any], words: str) -> str:
    agent = header.get("ContrastBolusAgent")
    if agent is not None and not _NO_AGENT.match(str(agent)):
        # Technologists add dose and route ("Gadovist 1,0 7.5 ml iv"): the first word of letters is the agent.
        label = re.search(r"[A-Za-z]{3,}", str(agent))
        return label[0].lower() if label and label[0].lower() not in {"yes", "iodine"} else "contrast"
    ingredient = str(sidecar.get("ContrastBolusIngredient") or header.get("ContrastBolusIngredient") or "")
    if ingredient.upper() == "GADOLINIUM":
        return "gadolinium"
    return "contrast" if _CONTRAST_WORD.search(words) and not _NATIVE_WORD.search(words) else ""


def _image_type(header: Mapping[str, Any], sidecar: Mapping[str, Any]) -> list[str]:
    entries: list[str] = []
    for value in (header.get("ImageType"), sidecar.get("ImageType"), sidecar.get("ImageTypeText")):
        listed = value.split("\\") if isinstance(value, str) else value or ()
        entries += [str(entry).upper() for entry in listed]
    return _unique(entries)


def _part(header: Mapping[str, Any], sidecar: Mapping[str, Any]) -> str:
    for source in (header, sidecar):
        before = ""
        for entry in _image_type(source, {}):
            # Water and fat imaging: dcm2niix splits IN_PHASE and OPP_PHASE in two.
            if entry in _PARTS and before not in {"IN", "OPP", "OUT"}:
                return _PARTS[entry]
            before = entry
    return "mag"


def _manufacturer(text: str) -> str:
    lowered = text.lower()
    return next((name for start, name in _MANUFACTURERS.items() if lowered.startswith(start)), "other")


def _texts(header: Mapping[str, Any], sidecar: Mapping[str, Any], fields: Iterable[str]) -> Iterable[str]:
    for field in fields:
        for source in (header, sidecar):
            value = source.get(field)
            if value:
                yield str(value)


def _seconds(header: Mapping[str, Any], sidecar: Mapping[str, Any], field: str) -> float | None:
    value = _number(sidecar.get(field))
    if value is not None:
        return value
    milliseconds = _number(header.get(field))
    return None if milliseconds is None else milliseconds / 1000


def _number(value: Any) -> float | None:
    if isinstance(value, list | tuple):
        value = value[0] if value else None
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
