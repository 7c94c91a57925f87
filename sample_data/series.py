"""The DICOM files of one series."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import numpy as np

from sample_data.csa import encode
from sample_data.encoding import SeriesTemplate
from sample_data.geometry import Slab, tile
from sample_data.header import UID_ROOT, SeriesContext, b_matrix, dicom_time, image_tags, shared_header
from sample_data.images import Volume
from sample_data.protocols import DIRECTIONS, Kind, Protocol

_DIFFERING = (
    0x00080008,  # ImageType
    0x00080013,  # InstanceCreationTime
    0x00080018,  # SOPInstanceUID
    0x00080032,  # AcquisitionTime
    0x00080033,  # ContentTime
    0x00180024,  # SequenceName
    0x00180081,  # EchoTime
    0x00180086,  # EchoNumbers
    0x0019100B,  # SliceMeasurementDuration
    0x0019100C,  # B_value
    0x0019100D,  # DiffusionDirectionality
    0x0019100E,  # DiffusionGradientDirection
    0x00191015,  # SlicePosition_PCS
    0x00191016,  # TimeAfterStart
    0x00191027,  # B_matrix
    0x00200012,  # AcquisitionNumber
    0x00200013,  # InstanceNumber
    0x00200032,  # ImagePositionPatient
    0x00200037,  # ImageOrientationPatient
    0x00201041,  # SliceLocation
    0x00280010,  # Rows
    0x00280011,  # Columns
    0x00280106,  # SmallestImagePixelValue
    0x00280107,  # LargestImagePixelValue
    0x00281050,  # WindowCenter
    0x00281051,  # WindowWidth
    0x00291010,  # CSA image header
    0x0051100E,  # orientation in words
    0x7FE00010,  # PixelData
)

Values = dict[int, tuple[str, bytes]]


def series_files(context: SeriesContext, volumes: Iterable[Volume]) -> Iterator[bytes]:
    """Give the bytes of each file of a series, in the order of instances: a file per slice, or per mosaic."""
    template: SeriesTemplate | None = None
    count = 0
    for number, volume in enumerate(volumes, start=1):
        if template is None:
            template = SeriesTemplate(shared_header(context, volume), _DIFFERING, context.site.station)
        for index in range(1 if context.protocol.mosaic else volume.slab.slices):
            count += 1
            uid = instance_uid(context, count)
            yield template.file(uid, _values(context, volume, number, index, count, uid))


def instance_uid(context: SeriesContext, count: int) -> str:
    """Give SOPInstanceUID of the n-th image of a series, in the scanner's manner: serial number, time, counter."""
    return f"{UID_ROOT}.{context.site.device_serial}.{context.start:%Y%m%d%H%M%S}{context.number:02d}{count:06d}"


def _values(context: SeriesContext, volume: Volume, number: int, index: int, count: int, uid: str) -> Values:
    protocol, slab = context.protocol, volume.slab
    excited = 0.0
    if volume.slice_times is not None and not protocol.mosaic:
        excited = float(volume.slice_times[index]) / 1000.0
    acquired = context.moment(volume.start_s + excited)
    stored = dicom_time(context.moment(volume.start_s + excited + 0.85))
    position = slab.mosaic_position() if protocol.mosaic else slab.position(index)
    pixels = tile(volume.pixels) if protocol.mosaic else volume.pixels[index]
    largest = int(pixels.max())
    values: Values = {
        0x00080008: ("CS", "\\".join(image_type(protocol)).encode("ascii")),
        0x00080013: ("TM", stored.encode("ascii")),
        0x00080018: ("UI", uid.encode("ascii")),
        0x00080032: ("TM", dicom_time(acquired).encode("ascii")),
        0x00080033: ("TM", stored.encode("ascii")),
        0x00180024: ("SH", sequence_name(protocol, volume).encode("ascii")),
        0x00180081: ("DS", f"{protocol.echo_ms[volume.echo - 1]:g}".encode("ascii")),
        0x00180086: ("IS", str(volume.echo).encode("ascii")),
        0x0019100B: ("DS", f"{protocol.repetition_ms:g}".encode("ascii")),
        0x00191015: ("FD", struct.pack("<3d", *position)),
        0x00191016: ("DS", f"{volume.start_s + excited:g}".encode("ascii")),
        0x00200012: ("IS", str(_acquisition_number(protocol, number)).encode("ascii")),
        0x00200013: ("IS", str(index + 1 if len(protocol.echo_ms) > 1 else count).encode("ascii")),
        0x00200032: ("DS", _decimals(position)),
        0x00200037: ("DS", _decimals(np.concatenate((slab.row, slab.column)))),
        0x00201041: ("DS", _decimals([float(position @ slab.normal)])),
        0x00280010: ("US", struct.pack("<H", pixels.shape[0])),
        0x00280011: ("US", struct.pack("<H", pixels.shape[1])),
        0x00280106: ("US", struct.pack("<H", int(pixels.min()))),
        0x00280107: ("US", struct.pack("<H", largest)),
        0x00281050: ("DS", str(largest // 2).encode("ascii")),
        0x00281051: ("DS", str(max(largest, 1)).encode("ascii")),
        0x00291010: ("OB", encode(image_tags(context, volume, index))),
        0x0051100E: ("LO", _orientation_words(slab).encode("ascii")),
        0x7FE00010: ("OW", pixels.astype("<u2").tobytes()),
    }
    if volume.b_value is not None:
        values[0x0019100C] = ("IS", str(volume.b_value).encode("ascii"))
        values[0x0019100D] = ("CS", b"DIRECTIONAL" if volume.direction else b"NONE")
        if volume.direction:
            values[0x0019100E] = ("FD", struct.pack("<3d", *volume.direction))
            values[0x00191027] = ("FD", struct.pack("<6d", *b_matrix(volume.b_value, volume.direction)))
    return values


def image_type(protocol: Protocol) -> tuple[str, ...]:
    """Give ImageType as VE11 writes it."""
    if protocol.kind is Kind.DIFFUSION:
        return ("ORIGINAL", "PRIMARY", "DIFFUSION", "NONE", "ND", "NORM", "MOSAIC")
    if protocol.kind is Kind.FIELD_PHASE:
        return ("ORIGINAL", "PRIMARY", "P", "ND")
    normalised = () if protocol.kind in {Kind.FIELD_MAGNITUDE, Kind.REAL_TIME} else ("NORM",)
    return ("ORIGINAL", "PRIMARY", "M", "ND", *normalised, *(("MOSAIC",) if protocol.mosaic else ()))


def sequence_name(protocol: Protocol, volume: Volume) -> str:
    """Give SequenceName; Siemens diffusion sequences put the b-value and the direction's number into it."""
    if volume.b_value is None:
        return protocol.sequence_name
    suffix = f"#{DIRECTIONS.index(volume.direction) + 1}" if volume.direction else ""
    return f"{protocol.sequence_name}{volume.b_value}{suffix}"


def _acquisition_number(protocol: Protocol, number: int) -> int:
    return number if protocol.volumes > 1 else 1


def _decimals(values: Iterable[float]) -> bytes:
    return "\\".join(f"{float(value) + 0.0:.10g}" for value in values).encode("ascii")


def _orientation_words(slab: Slab) -> str:
    """Say the orientation as Siemens does: `Tra>Cor(-9.0)` for a tilted transverse slab."""
    main = int(np.argmax(np.abs(slab.normal)))
    angle = round(float(np.rad2deg(np.arctan2(-slab.normal[1], slab.normal[2]))), 1)
    words = ("Sag", "Cor", "Tra")[main]
    return f"{words}>Cor({angle:.1f})" if words == "Tra" and angle else words
