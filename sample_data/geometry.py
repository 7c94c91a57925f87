"""Where voxels lie: slabs of parallel slices in the patient coordinates of DICOM (LPS, mm)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


class Plane(StrEnum):
    """How a slab is cut."""

    SAGITTAL = "sagittal"
    CORONAL = "coronal"
    TRANSVERSE = "transverse"


@dataclass(frozen=True, kw_only=True)
class Slab:
    """Parallel slices of one matrix size.

    Attributes
    ----------
    row, column, step:
        Unit vectors (LPS): towards the next column of a row, the next row of a column, the next slice.
    centre:
        Middle of the slab, mm.
    rows, columns, slices:
        Matrix.
    pixel, spacing:
        Edge of the square pixel and distance of slice centres, mm.
    """

    row: Vector
    column: Vector
    step: Vector
    centre: Vector
    rows: int
    columns: int
    slices: int
    pixel: float
    spacing: float

    def position(self, index: int) -> Vector:
        """Give ImagePositionPatient of slice `index` (centre of the first voxel sent; PS3.3 C.7.6.2.1.1)."""
        return (
            self.centre
            + self.step * self.spacing * (index - (self.slices - 1) / 2)
            - self.row * self.pixel * (self.columns - 1) / 2
            - self.column * self.pixel * (self.rows - 1) / 2
        )

    def mosaic_position(self) -> Vector:
        """Give ImagePositionPatient of a Siemens mosaic: the corner of one slice as large as the mosaic."""
        tiles = mosaic_tiles(self.slices)
        shift = self.pixel * (tiles - 1) / 2
        return self.position(0) - self.row * (shift * self.columns) - self.column * (shift * self.rows)

    def points(self) -> Vector:
        """Give the centres of all voxels, shape (slices, rows, columns, 3), mm."""
        first = self.position(0)
        slices = self.step * (np.arange(self.slices) * self.spacing)[:, None]
        rows = self.column * (np.arange(self.rows) * self.pixel)[:, None]
        columns = self.row * (np.arange(self.columns) * self.pixel)[:, None]
        points: Vector = first + slices[:, None, None, :] + rows[None, :, None, :] + columns[None, None, :, :]
        return points

    @cached_property
    def normal(self) -> Vector:
        """Give row x column, which the Siemens header calls SliceNormalVector."""
        normal: Vector = np.cross(self.row, self.column)
        return normal


def cut(
    plane: Plane,
    *,
    centre: Vector,
    rows: int,
    columns: int,
    slices: int,
    pixel: float,
    spacing: float,
    tilt_degrees: float = 0.0,
) -> Slab:
    """Lay a slab as the scanner does: `tilt_degrees` turns a transverse slab about the left-right axis.

    Sagittal slices run from right to left, coronal ones from front to back, transverse ones from feet to head.
    """
    angle = np.deg2rad(tilt_degrees)
    if plane is Plane.TRANSVERSE:
        row, column = np.array([1.0, 0.0, 0.0]), np.array([0.0, np.cos(angle), np.sin(angle)])
        step = np.cross(row, column)
    elif plane is Plane.CORONAL:
        row, column, step = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, -1.0]), np.array([0.0, 1.0, 0.0])
    else:
        row, column, step = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, -1.0]), np.array([1.0, 0.0, 0.0])
    return Slab(
        row=row,
        column=column,
        step=step,
        centre=centre,
        rows=rows,
        columns=columns,
        slices=slices,
        pixel=pixel,
        spacing=spacing,
    )


def mosaic_tiles(slices: int) -> int:
    """Give the number of tiles along an edge of the smallest square mosaic that holds `slices` slices."""
    return int(np.ceil(np.sqrt(slices)))


def tile(volume: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Lay the slices of a volume (slices, rows, columns) out as a Siemens mosaic, row by row, zero-filled."""
    slices, rows, columns = volume.shape
    tiles = mosaic_tiles(slices)
    padded = np.zeros((tiles * tiles, rows, columns), dtype=np.uint16)
    padded[:slices] = volume
    return padded.reshape(tiles, tiles, rows, columns).swapaxes(1, 2).reshape(tiles * rows, tiles * columns)


def interleaved_times(slices: int, repetition_ms: float) -> Vector:
    """Give each slice's acquisition time after the volume's start (ms) in the interleaved order of Siemens.

    An odd number of slices starts with the first, an even number with the second; the raster is the scanner's 2.5 ms.
    """
    first = 0 if slices % 2 else 1
    order = [*range(first, slices, 2), *range(1 - first, slices, 2)]
    times = np.empty(slices)
    times[order] = np.floor(np.arange(slices) * repetition_ms / slices / 2.5) * 2.5
    return times
