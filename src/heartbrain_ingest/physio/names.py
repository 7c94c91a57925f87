"""How files are told from others without loading their readers, and what an image says of its recordings."""

from __future__ import annotations

import re
import struct
from pathlib import Path

#: Ends the name of a log as it is stored.
LOG_ENDING = "_log.zip"
BRAINVISION_HEADER = "Brain Vision Data Exchange Header File"
BRAINVISION_MARKERS = "Brain Vision Data Exchange Marker File"
PHILIPS_HEAD = re.compile(r"^#+ *v1raw +v2raw +v1 +v2 +ppu +resp\b.*\bmark\b", re.MULTILINE)
GE_NAME = re.compile(
    r"^(?P<signal>PPG|RESP|ECG)(?P<lead>[23]?)(?P<what>Data|Trig)_(?P<sequence>.*)_"
    r"(?P<moment>\d{10}_\d{2}_\d{2})_(?P<ms>\d{1,3})(?:\.txt)?$"
)
#: Revisions that AcqKnowledge has written, from 2 to 5.
BIOPAC_REVISIONS = range(30, 200)

#: What a CMRR sequence writes into the protocol of its images: the UUID of the measurement.
IMAGE_UUID = re.compile(rb'sWipMemBlock\.tFree\s*=\s*"{1,2}([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\|\|')
#: A header ends before; the protocol stands in it as text.
LONGEST_HEADER = 4 * 1024 * 1024


def is_biopac(path: Path, head: bytes) -> bool:
    """Tell by extension and revision: two bytes that nobody uses, then the revision in either byte order."""
    if path.suffix.lower() != ".acq" or len(head) < 6:  # noqa: PLR2004 - up to the end of the revision
        return False
    return any(struct.unpack_from(f"{order}i", head, 2)[0] in BIOPAC_REVISIONS for order in "<>")


def is_brainvision_samples(path: Path) -> bool:
    """Tell whether a file holds the samples that a header beside it opens."""
    return path.suffix.lower() in {".eeg", ".dat"} and path.with_suffix(".vhdr").is_file()


def read_image_uuid(path: Path) -> str | None:
    """Give the UUID of the measurement that an image of a CMRR sequence carries, as its recordings do.

    Returns
    -------
    None where the file can't be read or holds none.
    """
    try:
        with path.open("rb") as file:
            return find_image_uuid(file.read(LONGEST_HEADER))
    except OSError:
        return None


def find_image_uuid(header: bytes) -> str | None:
    """Give the UUID of the measurement in the first bytes of an image of a CMRR sequence."""
    found = IMAGE_UUID.search(header)
    return found[1].decode("ascii").lower() if found else None
