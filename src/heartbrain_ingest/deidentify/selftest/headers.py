"""Synthetic headers of the five vendors: what conversion and BIDS need of each must survive de-identification."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from heartbrain_ingest.deidentify.selftest.nodes import Node, Path, numbers, text
from heartbrain_ingest.dicom.encoding import EXPLICIT_LITTLE, IMPLICIT_LITTLE, PIXEL_DATA, Encoding

MR_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.4.1"


@dataclass(frozen=True)
class Identity:
    """The invented person in all headers, and who was around."""

    family: str = "Kestrowen"
    given: str = "Ilvara"
    patient_id: str = "KX-5550173"
    operator: str = "Brunhald"
    physician: str = "Tesmarund"
    institution: str = "Klinikum Oberquellmoor"
    city: str = "Quellmoorstadt"
    serial: str = "8814702"
    telephone: str = "+49 30 5550199"
    study_date: str = "20190314"
    birth_date: str = "19310412"


WHO: Final = Identity()


@dataclass(frozen=True)
class Header:
    """A header as one vendor writes it."""

    vendor: str
    encoding: Encoding
    nodes: tuple[Node, ...]
    #: Elements that must stay as they are, byte by byte.
    kept: tuple[Path, ...]
    #: (path, what must stay within the value): parsed blocks, of which the rest goes.
    kept_within: tuple[tuple[Path, bytes], ...] = ()
    #: (path, what must be gone from the value, what it is).
    gone_within: tuple[tuple[Path, bytes, str], ...] = ()
    #: Paths of sequences that stay, the items of which are treated element by element.
    containers: tuple[Path, ...] = ()


_PIXELS: Final = struct.pack("<64H", *(17 * index % 4096 for index in range(64)))
#: Standard attributes that dcm2niix and BIDS read.
_CRITICAL: Final = (
    text(0x00080008, "CS", "ORIGINAL\\PRIMARY\\M\\ND"),
    text(0x00080060, "CS", "MR"),
    text(0x00180020, "CS", "EP"),
    text(0x00180021, "CS", "SK"),
    text(0x00180022, "CS", "PFP\\FS"),
    text(0x00180023, "CS", "2D"),
    text(0x00180050, "DS", "2.5"),
    text(0x00180080, "DS", "2000"),
    text(0x00180081, "DS", "30.5"),
    text(0x00180082, "DS", "900"),
    text(0x00180083, "DS", "1"),
    text(0x00180087, "DS", "2.89362"),
    text(0x00180088, "DS", "2.75"),
    text(0x00180091, "IS", "48"),
    text(0x00180095, "DS", "2004"),
    numbers(0x00181310, "US", 64, 0, 0, 64),
    text(0x00181312, "CS", "COL"),
    text(0x00181314, "DS", "77"),
    numbers(0x00189087, "FD", 1000.0),
    numbers(0x00189089, "FD", 0.0, 0.6, 0.8),
    text(0x00200011, "IS", "7"),
    text(0x00200012, "IS", "3"),
    text(0x00200013, "IS", "12"),
    text(0x00200032, "DS", "-101.5\\-98.25\\-33.125"),
    text(0x00200037, "DS", "1\\0\\0\\0\\1\\0"),
    text(0x00201041, "DS", "-33.125"),
    numbers(0x00280002, "US", 1),
    text(0x00280004, "CS", "MONOCHROME2"),
    numbers(0x00280010, "US", 8),
    numbers(0x00280011, "US", 8),
    text(0x00280030, "DS", "3.125\\3.125"),
    numbers(0x00280100, "US", 16),
    numbers(0x00280101, "US", 12),
    numbers(0x00280102, "US", 11),
    numbers(0x00280103, "US", 0),
    text(0x00281052, "DS", "0"),
    text(0x00281053, "DS", "1.5"),
    Node(PIXEL_DATA, "OW", _PIXELS),
)


#: What a header says of the invented person.
IDENTITY: Final = (
    text(0x00080018, "UI", "1.2.826.0.1.3680043.8.1055.1.18"),
    text(0x0020000D, "UI", "1.2.826.0.1.3680043.8.1055.1.13"),
    text(0x0020000E, "UI", "1.2.826.0.1.3680043.8.1055.1.14"),
    text(0x00080020, "DA", WHO.study_date),
    text(0x00080080, "LO", WHO.institution),
    text(0x00080081, "ST", f"Am Moor 3, 12345 {WHO.city}"),
    text(0x00080090, "PN", f"{WHO.physician}^Odo"),
    text(0x00081070, "PN", WHO.operator),
    text(0x00100010, "PN", f"{WHO.family}^{WHO.given}"),
    text(0x00100020, "LO", WHO.patient_id),
    text(0x00100030, "DA", WHO.birth_date),
    text(0x00102154, "SH", WHO.telephone),
    text(0x00181000, "LO", WHO.serial),
)


def _base(maker: str, model: str, *, sop_class: str = MR_IMAGE) -> tuple[Node, ...]:
    return (
        *_CRITICAL,
        text(0x00080005, "CS", "ISO_IR 100"),
        text(0x00080016, "UI", sop_class),
        text(0x00080070, "LO", maker),
        text(0x00081090, "LO", model),
        *IDENTITY,
    )


def _kept(*extra: Node) -> tuple[Path, ...]:
    return tuple((node.tag,) for node in (*_CRITICAL, *extra) if node.tag != PIXEL_DATA)


def _creator(group: int, block: int, name: str) -> Node:
    return text(group << 16 | block, "LO", name)


def _csa(elements: Sequence[tuple[str, str, list[bytes]]]) -> bytes:
    """Write a CSA header, with the remains of a name behind each end (nibabel, siemens_csa)."""
    junk = f"{WHO.family}^{WHO.given} {WHO.birth_date}".encode()
    parts = []
    for name, vr, values in elements:
        title = (name.encode() + b"\0" + junk)[:64].ljust(64, b"\0")
        parts.append(struct.pack("<64si4siii", title, 1, vr.encode(), 0, len(values), 77))
        for value in values:
            whole = value + b"\0" + (junk if len(value) < 16 else b"")  # noqa: PLR2004 - not behind a protocol
            parts += [struct.pack("<4i", len(whole), len(whole), 77, len(whole)), whole, bytes(-len(whole) % 4)]
    return b"".join((b"SV10\x04\x03\x02\x01", struct.pack("<II", len(elements), 77), *parts, bytes(4)))


_ASCCONV: Final = (
    "### ASCCONV BEGIN object=MrProtDataImpl@MrProtocolData version=51130001 converter=%MEASCONST%/c.txt ###\n"
    'tSequenceFileName\t = \t""%SiemensSeq%\\ep2d_diff""\n'
    f'tProtocolName\t = \t""ep2d_diff {WHO.family}""\n'
    'tReferenceImage0\t = \t""1.3.12.2.1107.5.2.19.45160.2018091812204221515890105""\n'
    f'tPatientName\t = \t""{WHO.family}^{WHO.given}""\n'
    f"sComment\t = \t{WHO.given}\n"
    f"lPatientNumber\t = \t{WHO.serial}\n"
    "alTE[0]\t = \t5190\nsKSpace.lBaseResolution\t = \t72\nsPat.lAccelFactPE\t = \t2\n### ASCCONV END ###"
)
_PROTOCOL: Final = (
    f'<XProtocol> {{ <ParamString."PatientName"> {{ "{WHO.family}^{WHO.given}" }} <ParamString."PatientID"> '
    f'{{ "{WHO.patient_id}" }} <ParamString."tPatientBirthDay"> {{ "{WHO.birth_date}" }} }}\n{_ASCCONV}\n'
    f'<ParamString."InstitutionName"> {{ "{WHO.institution}" }}'
).encode("latin-1")
_IN_A_PROTOCOL: Final = (
    (WHO.family.encode(), "the patient's name in a protocol"),
    (WHO.patient_id.encode(), "the PatientID in a protocol"),
    (WHO.birth_date.encode(), "the birth date in a protocol"),
    (WHO.institution.encode(), "the institution in a protocol"),
    (WHO.serial.encode(), "a serial number in a protocol"),
    (b"2018091812204221515890105", "the UID of an image in a protocol"),
)
_OF_A_PROTOCOL: Final = (b"alTE[0]\t = \t5190\n", b"sKSpace.lBaseResolution\t = \t72\n", b"sPat.lAccelFactPE\t = \t2\n")


def _siemens() -> Header:
    image = _csa(
        [
            ("B_value", "IS", [b"1000"]),
            ("DiffusionGradientDirection", "FD", [b"0.00000000", b"0.60000000", b"0.80000000"]),
            ("MosaicRefAcqTimes", "FD", [b"0.00000000", b"1450.00000001", b"482.50000001"]),
            ("PhaseEncodingDirectionPositive", "IS", [b"1"]),
            ("BandwidthPerPixelPhaseEncode", "FD", [b"42.73500000"]),
            ("RealDwellTime", "IS", [WHO.family.encode()]),
            ("ICE_Dims", "LO", [f"X_1_1 {WHO.given}".encode()]),
            ("ReferencedImageSequence", "UI", [b"1.3.12.2.1107.5.2.43.67060.2019031410"]),
        ]
    )
    series = _csa(
        [
            ("PatReinPattern", "ST", [b"1;HFS;61.00;87.00;3;0;2;-2048984740"]),
            ("MrPhoenixProtocol", "UN", [_PROTOCOL]),
            ("SequenceFileOwner", "SH", [WHO.operator.encode()]),
        ]
    )
    private = (
        numbers(0x0019100A, "US", 3),
        text(0x0019100C, "IS", "1000"),
        numbers(0x0019100E, "FD", 0.0, 0.6, 0.8),
        numbers(0x00191028, "FD", 42.735),
        numbers(0x00191029, "FD", 0.0, 1450.00000001, 482.50000001),
        text(0x0051100F, "LO", "HEA;HEP"),
        text(0x00511011, "LO", "p2"),
    )
    blocks = (Node(0x00291010, "OB", image), Node(0x00291020, "OB", series))
    creators = (
        _creator(0x0019, 0x10, "SIEMENS MR HEADER"),
        _creator(0x0029, 0x10, "SIEMENS CSA HEADER"),
        _creator(0x0051, 0x10, "SIEMENS MR HEADER"),
    )
    in_image = (b"1000\0", b"1450.00000001\0", b"42.73500000\0", b"0.60000000\0")
    return Header(
        "Siemens",
        EXPLICIT_LITTLE,
        (*_base("SIEMENS", "Prisma_fit"), *creators, *private, *blocks),
        _kept(*private),
        (
            *(((0x00291010,), value) for value in in_image),
            *(((0x00291020,), value) for value in _OF_A_PROTOCOL),
        ),
        (
            ((0x00291010,), WHO.family.encode(), "the patient's name in a CSA header"),
            ((0x00291010,), WHO.given.encode(), "the given name in a CSA header"),
            ((0x00291010,), WHO.birth_date.encode(), "the birth date behind the end of a CSA value"),
            ((0x00291010,), b"2019031410", "the UID of an image in a CSA header"),
            ((0x00291020,), WHO.operator.encode(), "the operator in a CSA header"),
            ((0x00291020,), b"87.00", "the age in a CSA header"),
            *(((0x00291020,), value, what) for value, what in _IN_A_PROTOCOL),
        ),
    )


def _siemens_xa() -> Header:
    shared = (
        _creator(0x0021, 0x10, "SIEMENS MR SDS 01"),
        Node(
            0x002110FE,
            "SQ",
            items=(
                (
                    _creator(0x0021, 0x10, "SIEMENS MR SDS 01"),
                    Node(0x00211019, "OB", _PROTOCOL),
                    text(0x00211033, "SH", "Normal"),
                ),
            ),
        ),
    )
    frame = (
        Node(
            0x002111FE,
            "SQ",
            items=(
                (
                    _creator(0x0021, 0x11, "SIEMENS MR SDI 02"),
                    numbers(0x00211153, "FD", 42.735),
                    text(0x00211156, "LO", f"X_1_1 {WHO.given}"),
                ),
            ),
        ),
        _creator(0x0021, 0x11, "SIEMENS MR SDI 02"),
        Node(0x00189117, "SQ", items=((numbers(0x00189087, "FD", 1000.0),),)),
    )
    protocol: Path = (0x52009229, 0x002110FE, 0x00211019)
    return Header(
        "Siemens XA",
        EXPLICIT_LITTLE,
        (
            *_base("Siemens Healthineers", "MAGNETOM Vida", sop_class=ENHANCED_MR_IMAGE),
            Node(0x52009229, "SQ", items=(shared,)),
            Node(0x52009230, "SQ", items=(frame,)),
        ),
        (*_kept(), (0x52009230, 0x002111FE, 0x00211153), (0x52009230, 0x00189117, 0x00189087)),
        tuple((protocol, value) for value in _OF_A_PROTOCOL),
        (
            *((protocol, value, what) for value, what in _IN_A_PROTOCOL),
            ((0x52009230, 0x002111FE, 0x00211156), WHO.given.encode(), "the given name in a private text"),
        ),
        ((0x52009229,), (0x52009229, 0x002110FE), (0x52009230, 0x002111FE)),
    )


def _ge() -> Header:
    protocol = f'SEDESC "Ax DWI {WHO.family}"\nNOTES "call {WHO.operator}"\nVIEWORDER "1"\nNOSLC "36"\n'
    packed = gzip.compress(protocol.encode("latin-1"), mtime=1)
    private = (
        text(0x0019109C, "LO", "EFGRE3D"),
        text(0x0021104F, "DS", "36"),
        numbers(0x00251007, "SL", 36),
        text(0x00431039, "IS", "1000\\8\\0\\0"),
        text(0x00431030, "IS", "14"),
        numbers(0x001910BB, "FL", 0.6),
    )
    return Header(
        "GE",
        IMPLICIT_LITTLE,
        (
            *_base("GE MEDICAL SYSTEMS", "DISCOVERY MR750"),
            *(
                _creator(group, 0x10, name)
                for group, name in (
                    (0x0019, "GEMS_ACQU_01"),
                    (0x0021, "GEMS_RELA_01"),
                    (0x0025, "GEMS_SERS_01"),
                    (0x0043, "GEMS_PARM_01"),
                )
            ),
            *private,
            Node(0x0025101B, "OB", struct.pack("<I", len(packed)) + packed),
            Node(0x0043102A, "OB", b"\1\2\0\3" + f"{WHO.family} 11/16/118 EPI2".encode().ljust(40, b"\0")),
            text(0x0043102E, "SH", f"se {WHO.given}"),
        ),
        _kept(*private),
        (
            ((0x0025101B,), b'NOSLC "36"\n'),
            ((0x0025101B,), b'VIEWORDER "1"\n'),
            ((0x0025101B,), b"Ax DWI"),
            ((0x0043102A,), b"EPI2"),
        ),
        (
            ((0x0025101B,), WHO.family.encode(), "the patient's name in the protocol block"),
            ((0x0025101B,), WHO.operator.encode(), "the operator in the protocol block"),
            ((0x0043102A,), WHO.family.encode(), "the patient's name in a binary block"),
            ((0x0043102A,), b"11/16/118", "a date in a binary block"),
            ((0x0043102E,), WHO.given.encode(), "the given name in a private text"),
        ),
    )


def _philips() -> Header:
    inner = (
        _creator(0x2005, 0x14, "Philips MR Imaging DD 005"),
        numbers(0x20051410, "FL", 1.5),
        text(0x20051418, "LO", f"Philips {WHO.given}"),
    )
    private = (
        numbers(0x20011003, "FL", 1000.0),
        text(0x20011004, "CS", "O"),
        numbers(0x2001100A, "SL", 12),
        numbers(0x200510B0, "FL", 0.0),
        numbers(0x200510B1, "FL", 0.6),
        numbers(0x2005100E, "FL", 0.0123),
    )
    return Header(
        "Philips",
        EXPLICIT_LITTLE,
        (
            *_base("Philips Medical Systems", "Achieva"),
            _creator(0x2001, 0x10, "Philips Imaging DD 001"),
            _creator(0x2005, 0x10, "Philips MR Imaging DD 001"),
            _creator(0x2005, 0x14, "Philips MR Imaging DD 005"),
            *private,
            text(0x20051011, "LO", f"MR {WHO.family}"),
            Node(0x2005140F, "SQ", items=(inner,)),
        ),
        (*_kept(*private), (0x2005140F, 0x20051410)),
        (),
        (
            ((0x20051011,), WHO.family.encode(), "the patient's name in a private text"),
            ((0x2005140F, 0x20051418), WHO.given.encode(), "the given name in a private sequence"),
        ),
        ((0x2005140F,),),
    )


def _uih() -> Header:
    inner = (
        _creator(0x0065, 0x10, "Image Private Header"),
        numbers(0x00651016, "FD", 1.25),
        text(0x00651002, "LO", f"slice {WHO.family}"),
    )
    private = (
        numbers(0x00651009, "FD", 1000.0),
        numbers(0x00651037, "FD", 0.0, 0.6, 0.8),
        text(0x00651050, "DS", "36"),
    )
    return Header(
        "UIH",
        EXPLICIT_LITTLE,
        (
            *_base("UIH", "uMR 770"),
            _creator(0x0065, 0x10, "Image Private Header"),
            *private,
            text(0x0065102B, "LO", f"epi {WHO.given}"),
            Node(0x00651051, "SQ", items=(inner,)),
        ),
        (*_kept(*private), (0x00651051, 0x00651016)),
        (),
        (
            ((0x0065102B,), WHO.given.encode(), "the given name in a private text"),
            ((0x00651051, 0x00651002), WHO.family.encode(), "the patient's name in a private sequence"),
        ),
        ((0x00651051,),),
    )


def _canon() -> Header:
    comment = text(0x00204000, "LT", "b=2000(0.445,0.000,0.895)")
    frame = (
        Node(0x00189117, "SQ", items=((numbers(0x00189087, "FD", 2000.0), text(0x00189075, "CS", "DIRECTIONAL")),)),
        Node(0x00209113, "SQ", items=((text(0x00200032, "DS", "-120\\-120\\-40.5"),),)),
    )
    return Header(
        "Canon",
        EXPLICIT_LITTLE,
        (
            *_base("CANON_MEC", "Galan 3T", sop_class=ENHANCED_MR_IMAGE),
            comment,
            _creator(0x700D, 0x10, "CANON_MEC_MR3"),
            text(0x700D1001, "LO", f"{WHO.family} {WHO.patient_id}"),
            Node(0x52009230, "SQ", items=(frame, frame)),
        ),
        (
            *_kept(comment),
            (0x52009230, 0x00189117, 0x00189087),
            (0x52009230, 0x00209113, 0x00200032),
        ),
        (),
        (((0x700D1001,), WHO.family.encode(), "the patient's name in a private element"),),
        ((0x52009230,),),
    )


def vendor_headers() -> tuple[Header, ...]:
    """Give a header of each vendor."""
    return (_siemens(), _siemens_xa(), _ge(), _philips(), _uih(), _canon())
