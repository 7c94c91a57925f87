"""The measurements of a session, as the protocols of the scanner describe them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from sample_data.geometry import Plane

B_VALUES = (0, 10, 20, 30, 40, 60, 80, 100, 150, 200, 300, 400, 500, 600, 800, 1000)
"""The b-values of the IVIM series, s/mm2."""

DIRECTIONS = ((2 / 3, 2 / 3, -1 / 3), (2 / 3, -1 / 3, 2 / 3), (-1 / 3, 2 / 3, 2 / 3))
"""The orthogonal directions of a 3-scan-trace measurement, in patient coordinates (LPS)."""


class Kind(StrEnum):
    """How a series' images come about."""

    LOCALIZER = "localizer"
    T1W = "t1w"
    T2W = "t2w"
    FLAIR = "flair"
    DIFFUSION = "diffusion"
    BOLD = "bold"
    FIELD_MAGNITUDE = "field_magnitude"
    FIELD_PHASE = "field_phase"
    SPIN_ECHO_FIELD = "spin_echo_field"
    REAL_TIME = "real_time"


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One measurement as the scanner's protocol describes it, and what a reader should make of it.

    Times are in ms, lengths in mm, the bandwidth of the phase-encoding direction in Hz per pixel. `phase_positive` is
    Siemens' PhaseEncodingDirectionPositive; `seconds` the time a single-volume series takes; `record_type`, `datatype`,
    `suffix` and `entities` are the expected RecordType and BIDS name.
    """

    kind: Kind
    description: str
    sequence_name: str
    sequence_file: str
    scanning_sequence: str
    sequence_variant: str
    scan_options: str
    acquisition_type: str
    repetition_ms: float
    echo_ms: tuple[float, ...]
    flip_degrees: float
    rows: int
    columns: int
    slices: int
    pixel: float
    thickness: float
    spacing: float
    record_type: str
    inversion_ms: float | None = None
    plane: Plane = Plane.TRANSVERSE
    mosaic: bool = False
    volumes: int = 1
    seconds: float = 0.0
    pixel_bandwidth: int = 260
    phase_bandwidth: float | None = None
    phase_positive: int = 1
    phase_axis: str = "COL"
    echo_train: int = 1
    contrast: bool = False
    datatype: str | None = None
    suffix: str | None = None
    entities: Mapping[str, str] = field(default_factory=dict)
    b_values: tuple[int, ...] = ()

    @property
    def duration_s(self) -> float:
        """Give how long the measurement takes."""
        return self.seconds or self.volumes * self.repetition_ms / 1000.0


@dataclass(frozen=True, kw_only=True)
class Size:
    """Matrix sizes and lengths of one edition: (in-plane matrix, slices, pixel edge, slice distance)."""

    localizer: tuple[int, float]
    t1w: tuple[int, int, float, float]
    structural: tuple[int, int, float, float]
    echo_planar: tuple[int, int, float, float]
    bold_volumes: int
    diffusion_tr: float
    bold_tr: float
    real_time: tuple[int, int, float]


FULL = Size(
    localizer=(96, 2.5),
    t1w=(96, 72, 2.5, 2.5),
    structural=(96, 24, 2.3, 5.5),
    echo_planar=(48, 16, 4.5, 5.0),
    bold_volumes=20,
    diffusion_tr=2000.0,
    bold_tr=2000.0,
    real_time=(40, 2000, 5.5),
)
SMALL = Size(
    localizer=(32, 7.5),
    t1w=(80, 60, 3.0, 3.0),
    structural=(32, 8, 7.0, 14.0),
    echo_planar=(24, 9, 9.0, 9.0),
    bold_volumes=6,
    diffusion_tr=900.0,
    bold_tr=900.0,
    real_time=(24, 60, 9.2),
)


def native(size: Size) -> tuple[Protocol, ...]:
    """Give the series of a visit without contrast agent, in the order of acquisition."""
    return (
        _localizer(size),
        _t1w(size),
        *_structural(size),
        *_echo_planar(size),
        *_field_maps(size),
        _real_time(size),
    )


def enhanced(size: Size) -> tuple[Protocol, ...]:
    """Give the series of a visit with contrast agent: T1w comes last, after the injection."""
    t1w = replace(
        _t1w(size),
        description="t1_mprage_sag_p2_iso_KM",
        contrast=True,
        entities={"ce": "gadolinium"},
    )
    return (_localizer(size), *_structural(size), *_echo_planar(size), *_field_maps(size), t1w)


def _localizer(size: Size) -> Protocol:
    matrix, pixel = size.localizer
    return Protocol(
        kind=Kind.LOCALIZER,
        description="localizer",
        sequence_name="*fl2d1",
        sequence_file="%SiemensSeq%\\gre",
        scanning_sequence="GR",
        sequence_variant="SP\\OSP",
        scan_options="PFP",
        acquisition_type="2D",
        repetition_ms=8.6,
        echo_ms=(4.0,),
        flip_degrees=20.0,
        rows=matrix,
        columns=matrix,
        slices=3,
        pixel=pixel,
        thickness=7.0,
        spacing=7.0,
        seconds=12.0,
        pixel_bandwidth=320,
        record_type="LocalizerImage",
    )


def _t1w(size: Size) -> Protocol:
    matrix, slices, pixel, spacing = size.t1w
    return Protocol(
        kind=Kind.T1W,
        description="t1_mprage_sag_p2_iso",
        sequence_name="*tfl3d1_16ns",
        sequence_file="%SiemensSeq%\\tfl",
        scanning_sequence="GR\\IR",
        sequence_variant="SK\\SP\\MP",
        scan_options="IR\\WE",
        acquisition_type="3D",
        repetition_ms=2300.0,
        echo_ms=(2.98,),
        inversion_ms=900.0,
        flip_degrees=9.0,
        rows=matrix,
        columns=matrix,
        slices=slices,
        pixel=pixel,
        thickness=spacing,
        spacing=spacing,
        plane=Plane.SAGITTAL,
        seconds=120.0,
        pixel_bandwidth=240,
        phase_axis="ROW",
        record_type="T1WeightedImage",
        datatype="anat",
        suffix="T1w",
    )


def _structural(size: Size) -> tuple[Protocol, Protocol]:
    matrix, slices, pixel, spacing = size.structural
    t2w = Protocol(
        kind=Kind.T2W,
        description="t2_tse_tra",
        sequence_name="*tse2d1_15",
        sequence_file="%SiemensSeq%\\tse",
        scanning_sequence="SE",
        sequence_variant="SK\\SP\\OSP",
        scan_options="PFP",
        acquisition_type="2D",
        repetition_ms=6000.0,
        echo_ms=(100.0,),
        flip_degrees=150.0,
        rows=matrix,
        columns=matrix,
        slices=slices,
        pixel=pixel,
        thickness=spacing / 1.1,
        spacing=spacing,
        seconds=84.0,
        pixel_bandwidth=220,
        echo_train=15,
        phase_axis="ROW",
        record_type="T2WeightedImage",
        datatype="anat",
        suffix="T2w",
    )
    flair = replace(
        t2w,
        kind=Kind.FLAIR,
        description="t2_tirm_tra_dark-fluid",
        sequence_name="*tir2d1_16",
        sequence_file="%SiemensSeq%\\tse",
        scanning_sequence="SE\\IR",
        sequence_variant="SK\\SP\\MP\\OSP",
        scan_options="IR\\PFP\\FS",
        repetition_ms=9000.0,
        echo_ms=(90.0,),
        inversion_ms=2500.0,
        seconds=110.0,
        echo_train=16,
        record_type="FLAIRImage",
        suffix="FLAIR",
    )
    return t2w, flair


def _echo_planar(size: Size) -> tuple[Protocol, Protocol]:
    matrix, slices, pixel, spacing = size.echo_planar
    diffusion = Protocol(
        kind=Kind.DIFFUSION,
        description="ep2d_diff_ivim_16b",
        sequence_name="*ep_b",
        sequence_file="%SiemensSeq%\\ep2d_diff",
        scanning_sequence="EP",
        sequence_variant="SK\\SP",
        scan_options="PFP\\FS",
        acquisition_type="2D",
        repetition_ms=size.diffusion_tr,
        echo_ms=(62.0,),
        flip_degrees=90.0,
        rows=matrix,
        columns=matrix,
        slices=slices,
        pixel=pixel,
        thickness=spacing,
        spacing=spacing,
        mosaic=True,
        volumes=1 + (len(B_VALUES) - 1) * len(DIRECTIONS),
        pixel_bandwidth=1628,
        phase_bandwidth=42.735,
        echo_train=matrix,
        b_values=B_VALUES,
        record_type="DiffusionWeightedImage",
        datatype="dwi",
        suffix="dwi",
    )
    bold = replace(
        diffusion,
        kind=Kind.BOLD,
        description="ep2d_bold_rest",
        sequence_name="*epfid2d1_48",
        sequence_file="%SiemensSeq%\\ep2d_bold",
        sequence_variant="SK",
        scan_options="FS",
        repetition_ms=size.bold_tr,
        echo_ms=(30.0,),
        flip_degrees=80.0,
        volumes=size.bold_volumes,
        pixel_bandwidth=2004,
        phase_bandwidth=40.584,
        b_values=(),
        record_type="BOLDImage",
        datatype="func",
        suffix="bold",
        entities={"task": "rest"},
    )
    return diffusion, bold


def _field_maps(size: Size) -> tuple[Protocol, ...]:
    matrix, slices, pixel, spacing = size.echo_planar
    magnitude = Protocol(
        kind=Kind.FIELD_MAGNITUDE,
        description="gre_field_mapping",
        sequence_name="*fm2d2r",
        sequence_file="%SiemensSeq%\\gre_field_mapping",
        scanning_sequence="GR",
        sequence_variant="SP",
        scan_options="",
        acquisition_type="2D",
        repetition_ms=400.0,
        echo_ms=(4.92, 7.38),
        flip_degrees=60.0,
        rows=matrix,
        columns=matrix,
        slices=slices,
        pixel=pixel,
        thickness=spacing,
        spacing=spacing,
        seconds=40.0,
        pixel_bandwidth=290,
        record_type="FieldMap",
        datatype="fmap",
        suffix="magnitude",
    )
    phase = replace(magnitude, kind=Kind.FIELD_PHASE, suffix="phasediff")
    anterior = Protocol(
        kind=Kind.SPIN_ECHO_FIELD,
        description="SpinEchoFieldMap_AP",
        sequence_name="*epse2d1_48",
        sequence_file="%SiemensSeq%\\ep2d_se",
        scanning_sequence="EP",
        sequence_variant="SK",
        scan_options="FS",
        acquisition_type="2D",
        repetition_ms=4000.0,
        echo_ms=(58.0,),
        flip_degrees=90.0,
        rows=matrix,
        columns=matrix,
        slices=slices,
        pixel=pixel,
        thickness=spacing,
        spacing=spacing,
        mosaic=True,
        volumes=2,
        pixel_bandwidth=2004,
        phase_bandwidth=40.584,
        echo_train=matrix,
        record_type="FieldMap",
        datatype="fmap",
        suffix="epi",
        entities={"dir": "AP"},
    )
    posterior = replace(anterior, description="SpinEchoFieldMap_PA", phase_positive=0, entities={"dir": "PA"})
    return magnitude, phase, anterior, posterior


def _real_time(size: Size) -> Protocol:
    matrix, frames, pixel = size.real_time
    return Protocol(
        kind=Kind.REAL_TIME,
        description="rt_flash_csf",
        sequence_name="*fl2d1r",
        sequence_file="%CustomerSeq%\\rt_flash_csf",
        scanning_sequence="GR",
        sequence_variant="SP",
        scan_options="",
        acquisition_type="2D",
        repetition_ms=50.0,
        echo_ms=(1.68,),
        flip_degrees=10.0,
        rows=matrix,
        columns=matrix,
        slices=1,
        pixel=pixel,
        thickness=10.0,
        spacing=10.0,
        volumes=frames,
        pixel_bandwidth=1600,
        record_type="RealTimeImage",
    )
