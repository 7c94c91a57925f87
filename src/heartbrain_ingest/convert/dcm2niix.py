"""dcm2niix as a command object: its argument vector, and what it wrote."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from heartbrain_ingest.errors import ToolError

#: Every output starts with this; dcm2niix adds its own endings (`_e2`, `_ph`, `_ADC`, `a`).
STEM = "image"

#: Exit statuses of dcm2niix: all is good; all but the volumes that were not scanned to their end.
_GOOD_ENOUGH = frozenset({0, 10})
_WRITE_COMPLAINTS = re.compile(r"unable to write|disk full|no space left", re.IGNORECASE)
_GEOMETRY_COMPLAINTS = re.compile(
    r"orientation|spatial|position|missing.*(0020,0032|0020,0037)|0028,0030|unable to determine", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class ConvertedImage:
    """One image that dcm2niix wrote: an uncompressed NIfTI, its sidecar and perhaps its b-table."""

    nifti: Path
    sidecar: dict[str, Any]
    bval: Path | None
    bvec: Path | None

    @property
    def stem(self) -> str:
        """Name without extension."""
        return self.nifti.name.removesuffix(".nii")

    def b_values(self) -> tuple[float, ...]:
        """Give the b-values in s/mm2, one per volume; empty when there is no b-table."""
        return tuple(float(value) for value in self.bval.read_text().split()) if self.bval else ()


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What one run of dcm2niix gave."""

    images: tuple[ConvertedImage, ...]
    #: Why there is nothing, as an issue code; None where there is an image.
    code: str | None

    def without(self, names: Collection[str]) -> Conversion:
        """Give the same images, their sidecars without some fields."""
        if not names:
            return self
        images = tuple(
            replace(image, sidecar={name: value for name, value in image.sidecar.items() if name not in names})
            for image in self.images
        )
        return replace(self, images=images)


@dataclass(frozen=True, kw_only=True)
class Dcm2niix:
    """Converts one folder that holds the instances of one series.

    Options: sidecars that keep what the (de-identified) header says (`-ba n`; what is personal is gone from it), no
    compression (the fidelity check compares bytes; packing follows), no defaults file of the user (`-g i`).
    """

    source: Path
    target: Path
    timeout_s: float = 3600.0

    def argv(self) -> list[str]:
        """Give the argument vector."""
        options = ["-b", "y", "-ba", "n", "-z", "n", "-f", STEM, "-w", "2", "-g", "i", "-d", "0"]
        return [executable(), *options, "-o", str(self.target), str(self.source)]

    def run(self) -> Conversion:
        """Convert, and read what was written.

        Raises
        ------
        ToolError
            When dcm2niix is missing or can't be started.
        OSError
            When the disk is full.
        """
        self.target.mkdir(parents=True, exist_ok=True)
        try:
            done = subprocess.run(
                self.argv(), capture_output=True, timeout=self.timeout_s, check=False, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            return Conversion(images=(), code="CONVERSION_TIMEOUT")
        except OSError as error:
            raise ToolError(f"dcm2niix: {error.strerror}") from error
        output = done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")
        return self.parse_output(output, done.returncode)

    def parse_output(self, output: str, status: int = 0) -> Conversion:
        """Collect the images in the target folder; the text output only tells why there are none.

        An image that dcm2niix made before it was killed or gave up is none: nobody knows what it lacks.

        Parameters
        ----------
        output
            What dcm2niix printed.
        status
            Its exit status; negative for the signal that ended it.
        """
        if status and _WRITE_COMPLAINTS.search(output):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        images = []
        for nifti in sorted(self.target.glob("*.nii")):
            sidecar = nifti.with_suffix(".json")
            bval, bvec = nifti.with_suffix(".bval"), nifti.with_suffix(".bvec")
            try:
                content = _read_fields(sidecar.read_text(encoding="utf-8")) if sidecar.is_file() else {}
            except ValueError:
                return Conversion(images=(), code="INVALID_SIDECAR")
            has_table = bval.is_file() and bvec.is_file()
            images.append(
                ConvertedImage(
                    nifti=nifti, sidecar=content, bval=bval if has_table else None, bvec=bvec if has_table else None
                )
            )
        if images and status in _GOOD_ENOUGH:
            return Conversion(images=tuple(images), code=None)
        code = "NO_GEOMETRY" if not images and _GEOMETRY_COMPLAINTS.search(output) else "NOT_CONVERTIBLE"
        return Conversion(images=(), code=code)


def _read_fields(text: str) -> dict[str, Any]:
    """Read a sidecar; what is no number (NaN, Infinity: neither is JSON) is left out.

    Raises
    ------
    ValueError
        When the text is no JSON object.
    """
    content = json.loads(text, parse_constant=lambda _: None)
    if not isinstance(content, dict):
        raise ValueError("no JSON object")
    return {
        name: value
        for name, value in content.items()
        if value is not None and not (isinstance(value, list) and None in value)
    }


@cache
def executable() -> str:
    """Give the path of the dcm2niix that was installed with this program.

    Raises
    ------
    ToolError
        When it is not there.
    """
    import dcm2niix  # noqa: PLC0415 - the package is only the carrier of the program

    path = Path(dcm2niix.bin)
    if not path.is_file():
        raise ToolError("dcm2niix is not installed")
    return str(path)


@cache
def tool_version() -> str:
    """Give the version that dcm2niix says it has, such as `v1.0.20260724`."""
    done = subprocess.run([executable(), "--version"], capture_output=True, check=False, text=True)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "unknown"
