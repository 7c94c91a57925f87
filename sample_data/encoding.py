"""Fast DICOM files: what a series' files share is encoded once, what differs is put between."""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping

from pydicom.charset import convert_encodings
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element

EXPLICIT_LITTLE_ENDIAN = b"1.2.840.10008.1.2.1"
MR_IMAGE_STORAGE = b"1.2.840.10008.5.1.4.1.1.4"
_LONG_VRS = frozenset({"OB", "OW", "OF", "UN", "UT", "SQ"})


def element(tag: int, vr: str, value: bytes) -> bytes:
    """Encode one element in explicit VR little endian, padded to even length (PS3.5 section 7.1.2)."""
    if len(value) % 2:
        value += b"\0" if vr in {"UI", "OB", "UN"} else b" "
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode("ascii"))
    length = struct.pack("<2xI", len(value)) if vr in _LONG_VRS else struct.pack("<H", len(value))
    return head + length + value


class SeriesTemplate:
    """The elements that all files of a series share, with gaps at the tags that differ."""

    def __init__(self, shared: Dataset, differing: Collection[int], station: str) -> None:
        encodings = convert_encodings(shared.SpecificCharacterSet)
        self._station = station.encode("ascii")
        self._parts: list[bytes | int] = []
        encoded: dict[int, bytes] = {}
        for one in shared:
            buffer = DicomBytesIO()
            buffer.is_little_endian = True
            buffer.is_implicit_VR = False
            write_data_element(buffer, one, encodings)
            encoded[int(one.tag)] = buffer.getvalue()
        run: list[bytes] = []
        for tag in sorted({*encoded, *differing}):
            if tag in differing:
                self._parts += [b"".join(run), tag]
                run = []
            else:
                run.append(encoded[tag])
        self._parts.append(b"".join(run))

    def file(self, instance_uid: str, values: Mapping[int, tuple[str, bytes]]) -> bytes:
        """Give a whole DICOM file.

        Parameters
        ----------
        instance_uid:
            SOPInstanceUID for the file meta information.
        values:
            Value representation and value of each differing tag; a tag without one is left out.
        """
        parts = [b"\0" * 128, b"DICM", self._meta(instance_uid.encode("ascii"))]
        for part in self._parts:
            if isinstance(part, bytes):
                parts.append(part)
            elif part in values:
                parts.append(element(part, *values[part]))
        return b"".join(parts)

    def _meta(self, instance_uid: bytes) -> bytes:
        body = b"".join(
            (
                element(0x00020001, "OB", b"\0\1"),
                element(0x00020002, "UI", MR_IMAGE_STORAGE),
                element(0x00020003, "UI", instance_uid),
                element(0x00020010, "UI", EXPLICIT_LITTLE_ENDIAN),
                element(0x00020012, "UI", b"1.3.12.2.1107.5.2"),
                element(0x00020013, "SH", b"MR_VE11C"),
                element(0x00020016, "AE", self._station),
            )
        )
        return element(0x00020000, "UL", struct.pack("<I", len(body))) + body
