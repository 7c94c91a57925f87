"""The images of every series, from phantom, signal equation and noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sample_data.geometry import Plane, Slab, Vector, cut, interleaved_times
from sample_data.people import Visit
from sample_data.phantom import TISSUES, Head, Tissue, TissueProperties, lookup
from sample_data.protocols import DIRECTIONS, Kind, Protocol
from sample_data.rhythm import Rhythm
from sample_data.signal import (
    FULL_SCALE,
    gradient_echo,
    inversion_recovery,
    ivim_attenuation,
    rician,
    spin_echo,
)

PHASE_SLOPE, PHASE_INTERCEPT = 2, -4096
"""Stored value to phase as Siemens sends it: value * 2 - 4096, where 4096 is pi."""

GAIN = {
    Kind.LOCALIZER: 16000.0,
    Kind.T1W: 3000.0,
    Kind.T2W: 2500.0,
    Kind.FLAIR: 6000.0,
    Kind.DIFFUSION: 2400.0,
    Kind.BOLD: 3200.0,
    Kind.FIELD_MAGNITUDE: 5000.0,
    Kind.FIELD_PHASE: 5000.0,
    Kind.SPIN_ECHO_FIELD: 2400.0,
    Kind.REAL_TIME: 12000.0,
}
"""Stored units per unit of signal."""

FAT_LEFT = 0.1
"""Part of the signal of fat that fat saturation leaves."""


@dataclass(frozen=True, kw_only=True)
class Volume:
    """One volume of a series.

    Attributes
    ----------
    pixels:
        Stored values, shape (slices, rows, columns).
    start_s:
        After the start of the series.
    slice_times:
        After the volume's start, ms, one for each slice; None where all share one.
    direction:
        Of the diffusion gradient (LPS), None at b = 0.
    """

    slab: Slab
    pixels: NDArray[np.uint16]
    start_s: float
    slice_times: Vector | None = None
    echo: int = 1
    b_value: int | None = None
    direction: tuple[float, float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Scene:
    """All that the images of a series depend on."""

    protocol: Protocol
    head: Head
    visit: Visit
    rhythm: Rhythm
    noise: float
    start_of_day_s: float
    rng: np.random.Generator

    def slab(self, plane: Plane | None = None, slices: int | None = None) -> Slab:
        """Lay the series' slab on the head; transverse slices are tilted as planned for the visit."""
        protocol = self.protocol
        return cut(
            plane or protocol.plane,
            centre=np.array(self.visit.offset_mm),
            rows=protocol.rows,
            columns=protocol.columns,
            slices=protocol.slices if slices is None else slices,
            pixel=protocol.pixel,
            spacing=protocol.spacing,
            tilt_degrees=0.0 if protocol.kind is Kind.LOCALIZER else self.visit.tilt_degrees,
        )

    def tissue(self, slab: Slab) -> NDArray[np.uint8]:
        """Give the class of every voxel of a slab; spin-echo field maps and BOLD are distorted along the phase axis."""
        points = slab.points() - np.array(self.visit.offset_mm)
        protocol = self.protocol
        if protocol.kind in {Kind.SPIN_ECHO_FIELD, Kind.BOLD} and protocol.phase_bandwidth:
            sign = 1.0 if protocol.phase_positive else -1.0
            shift = sign * field_hz(points) / protocol.phase_bandwidth * protocol.pixel
            points = points + shift[..., None] * slab.column
        return self.head.classify(points)

    def paint(self, tissue: NDArray[np.uint8], *, echo: int = 1, b_value: int = 0) -> Vector:
        """Give the noise-free stored values of a map of classes."""
        return lookup(tissue, stored_signals(self.protocol, echo=echo, b_value=b_value))

    def store(self, magnitude: Vector) -> NDArray[np.uint16]:
        """Add the noise."""
        return rician(magnitude, self.noise, self.rng)


def field_hz(points: Vector) -> Vector:
    """Give the main field's offset (Hz) at points relative to the head's middle: strongest above the sinuses."""
    sinus = np.array([0.0, -55.0, -30.0])
    distance = np.sum((points - sinus) ** 2, axis=-1)
    hertz: Vector = 55.0 * np.exp(-distance / (2 * 28.0**2)) - 0.12 * points[..., 2]
    return hertz


def render(scene: Scene) -> Iterator[Volume]:
    """Give a series' volumes in the order of acquisition."""
    yield from _RENDERERS[scene.protocol.kind](scene)


def signal_of(protocol: Protocol, tissue: TissueProperties, *, echo: int = 1, b_value: int = 0) -> float:
    """Give the noise-free signal of a tissue in a series, in units of the fully relaxed signal of water."""
    left = FAT_LEFT if tissue.fat and "FS" in protocol.scan_options.split("\\") else 1.0
    return left * _equation(protocol, tissue, protocol.echo_ms[echo - 1], b_value)


def _equation(protocol: Protocol, tissue: TissueProperties, echo_ms: float, b_value: int) -> float:
    kind, repetition = protocol.kind, protocol.repetition_ms
    if kind in {Kind.T1W, Kind.FLAIR}:
        return inversion_recovery(
            tissue,
            repetition_ms=repetition,
            inversion_ms=protocol.inversion_ms or 0.0,
            echo_ms=echo_ms,
            contrast=protocol.contrast,
        )
    if kind in {Kind.T2W, Kind.SPIN_ECHO_FIELD, Kind.DIFFUSION}:
        attenuation = ivim_attenuation(tissue, b_value) if b_value else 1.0
        return spin_echo(tissue, repetition_ms=repetition, echo_ms=echo_ms) * attenuation
    return gradient_echo(tissue, repetition_ms=repetition, echo_ms=echo_ms, flip_degrees=protocol.flip_degrees)


def stored_signals(protocol: Protocol, *, echo: int = 1, b_value: int = 0) -> dict[Tissue, float]:
    """Give each class's noise-free stored value in a series."""
    gain = GAIN[protocol.kind]
    return {
        one: gain * signal_of(protocol, properties, echo=echo, b_value=b_value) for one, properties in TISSUES.items()
    }


def _localizer(scene: Scene) -> Iterator[Volume]:
    for number, plane in enumerate((Plane.SAGITTAL, Plane.CORONAL, Plane.TRANSVERSE)):
        slab = scene.slab(plane, scene.protocol.slices // 3)
        painted = scene.paint(scene.tissue(slab))
        yield Volume(slab=slab, pixels=scene.store(painted), start_s=number * scene.protocol.seconds / 3)


def _structural(scene: Scene) -> Iterator[Volume]:
    protocol, slab = scene.protocol, scene.slab()
    painted = scene.paint(scene.tissue(slab))
    times = None
    if protocol.acquisition_type == "2D":
        times = interleaved_times(protocol.slices, protocol.repetition_ms)
    yield Volume(slab=slab, pixels=scene.store(painted), start_s=0.0, slice_times=times)


def _diffusion(scene: Scene) -> Iterator[Volume]:
    protocol, slab = scene.protocol, scene.slab()
    tissue = scene.tissue(slab)
    times = interleaved_times(protocol.slices, protocol.repetition_ms)
    steps = [(b, direction) for b in protocol.b_values for direction in (DIRECTIONS if b else (None,))]
    for number, (b_value, direction) in enumerate(steps):
        painted = scene.paint(tissue, b_value=b_value)
        yield Volume(
            slab=slab,
            pixels=scene.store(painted),
            start_s=number * protocol.repetition_ms / 1000.0,
            slice_times=times,
            b_value=b_value,
            direction=direction,
        )


def _echo_planar(scene: Scene) -> Iterator[Volume]:
    protocol, slab = scene.protocol, scene.slab()
    tissue = scene.tissue(slab)
    painted = scene.paint(tissue)
    times = interleaved_times(protocol.slices, protocol.repetition_ms)
    beating = np.isin(tissue, (Tissue.GREY_MATTER, Tissue.CSF, Tissue.VENTRICLE))
    for number in range(protocol.volumes):
        start = number * protocol.repetition_ms / 1000.0
        pixels = painted
        if protocol.kind is Kind.BOLD:
            moment = scene.start_of_day_s + start + times / 1000.0
            breath = 0.01 * np.sin(2 * np.pi * scene.rhythm.breath(moment))[:, None, None]
            pixels = painted * (1.0 + breath * beating)
        yield Volume(slab=slab, pixels=scene.store(pixels), start_s=start, slice_times=times)


def _field_magnitude(scene: Scene) -> Iterator[Volume]:
    protocol, slab = scene.protocol, scene.slab()
    tissue = scene.tissue(slab)
    times = interleaved_times(protocol.slices, protocol.repetition_ms)
    for echo in range(1, len(protocol.echo_ms) + 1):
        painted = scene.paint(tissue, echo=echo)
        yield Volume(slab=slab, pixels=scene.store(painted), start_s=0.0, slice_times=times, echo=echo)


def _field_phase(scene: Scene) -> Iterator[Volume]:
    protocol, slab = scene.protocol, scene.slab()
    tissue = scene.tissue(slab)
    magnitude = scene.paint(tissue, echo=2)
    delay_s = (protocol.echo_ms[1] - protocol.echo_ms[0]) / 1000.0
    angle = 2 * np.pi * field_hz(slab.points() - np.array(scene.visit.offset_mm)) * delay_s
    real = magnitude * np.cos(angle) + scene.noise * scene.rng.standard_normal(magnitude.shape)
    imaginary = magnitude * np.sin(angle) + scene.noise * scene.rng.standard_normal(magnitude.shape)
    stored = np.rint((np.arctan2(imaginary, real) / np.pi * 4096 - PHASE_INTERCEPT) / PHASE_SLOPE)
    yield Volume(
        slab=slab,
        pixels=np.clip(stored, 0, FULL_SCALE).astype(np.uint16),
        start_s=0.0,
        slice_times=interleaved_times(protocol.slices, protocol.repetition_ms),
        echo=2,
    )


def _real_time(scene: Scene) -> Iterator[Volume]:
    protocol, slab = scene.protocol, scene.slab(Plane.SAGITTAL)
    tissue = scene.tissue(slab)
    painted = scene.paint(tissue)
    flowing = np.isin(tissue, (Tissue.CSF, Tissue.VENTRICLE))
    starts = np.arange(protocol.volumes, dtype=np.float64) * protocol.repetition_ms / 1000.0
    moments = scene.start_of_day_s + starts
    inflow = 0.35 * np.sin(2 * np.pi * scene.rhythm.breath(moments)) + 0.15 * np.sin(
        2 * np.pi * scene.rhythm.heart(moments)
    )
    for start, level in zip(starts, inflow, strict=True):
        yield Volume(slab=slab, pixels=scene.store(painted * (1.0 + level * flowing)), start_s=float(start))


_RENDERERS: dict[Kind, Callable[[Scene], Iterator[Volume]]] = {
    Kind.LOCALIZER: _localizer,
    Kind.T1W: _structural,
    Kind.T2W: _structural,
    Kind.FLAIR: _structural,
    Kind.DIFFUSION: _diffusion,
    Kind.BOLD: _echo_planar,
    Kind.FIELD_MAGNITUDE: _field_magnitude,
    Kind.FIELD_PHASE: _field_phase,
    Kind.SPIN_ECHO_FIELD: _echo_planar,
    Kind.REAL_TIME: _real_time,
}
