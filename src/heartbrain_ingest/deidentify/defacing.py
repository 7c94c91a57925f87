"""Take the face out of anatomical images with a program of the site's choice; without one nothing is defaced."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final

from heartbrain_ingest.settings import Defacing, Settings

#: Folders of BIDS whose images show no face: few, thick or distorted slices, or not the head's surface.
_FACELESS: Final = frozenset({"dwi", "func", "fmap", "perf", "realtime", "derived"})
#: Slices along each side below which no surface can be made of an image.
_THINNEST: Final = 32
#: Programs by the names in the settings.
_PROGRAMS: Final = {
    "pydeface": "pydeface",
    "fsl_deface": "fsl_deface",
    "mri_reface": "run_mri_reface.sh",
    "quickshear": "quickshear",
    "bet": "bet",
    "mri_synthstrip": "mri_synthstrip",
}
#: Packages of Python that know their version.
_PACKAGES: Final = frozenset({"pydeface", "quickshear"})


@dataclass(frozen=True, kw_only=True)
class Deface:
    """The command that makes a defaced copy of an image."""

    tool: str
    image: Path
    #: Folder for what it writes.
    folder: Path
    #: Of the brain; for quickshear only.
    mask: Path | None = None

    @property
    def target(self) -> Path:
        """The file that it writes."""
        return self.folder / "defaced.nii"

    def argv(self) -> list[str]:
        """Give the argument vector."""
        program, image, target = _PROGRAMS[self.tool], str(self.image), str(self.target)
        if self.tool == "pydeface":
            return [program, image, "--outfile", target, "--force"]
        if self.tool == "mri_reface":
            return [program, image, str(self.folder)]
        if self.tool == "quickshear":
            return [program, image, str(self.mask), target]
        return [program, image, target]

    def result(self) -> Path | None:
        """Find what it wrote: some add their own endings."""
        for name in ("defaced.nii", "defaced.nii.gz", "*_deFaced.nii", "*_deFaced.nii.gz"):
            for path in sorted(self.folder.glob(name)):
                return path
        return None


@dataclass(frozen=True, kw_only=True)
class BrainMask:
    """The command that makes the mask of the brain that quickshear needs."""

    tool: str
    image: Path
    folder: Path

    def argv(self) -> list[str]:
        """Give the argument vector."""
        program, image = _PROGRAMS[self.tool], str(self.image)
        if self.tool == "bet":
            return [program, image, str(self.folder / "brain"), "-m", "-n"]
        return [program, "-i", image, "-m", str(self.folder / "brain_mask.nii.gz")]

    def result(self) -> Path | None:
        """Find what it wrote."""
        return next(iter(sorted(self.folder.glob("brain_mask.nii*"))), None)


def defacing_problem(settings: Settings) -> str | None:
    """Say why defacing can't work as the settings want it; None when it can, or is not wanted."""
    defacing = settings.defacing
    if defacing.tool == "none":
        return None
    if defacing.tool == "quickshear" and defacing.mask_tool == "none":
        return "quickshear needs a mask of the brain: name a program for it in defacing.mask_tool"
    wanted = [defacing.tool, *([defacing.mask_tool] if defacing.tool == "quickshear" else [])]
    missing = [_PROGRAMS[name] for name in wanted if shutil.which(_PROGRAMS[name]) is None]
    return f"the program {missing[0]} is not on the PATH" if missing else None


def shows_face(path: PurePath, shape: Sequence[int]) -> bool:
    """Tell whether a face can be made of an image, by its place in BIDS and its size."""
    if _FACELESS.intersection(path.parts):
        return False
    volumes = [size for size in shape[3:] if size > 1]
    return not volumes and len(shape) >= 3 and min(shape[:3]) >= _THINNEST  # noqa: PLR2004 - i, j, k


def deface(image: Path, defacing: Defacing) -> bool:
    """Put the defaced copy of an uncompressed NIfTI in its place; False, and the image as it was, when that fails.

    What a program writes has to be an image of the same grid and not the same voxels.
    """
    with tempfile.TemporaryDirectory(dir=image.parent) as name:
        folder = Path(name)
        mask = None
        if defacing.tool == "quickshear":
            masking = BrainMask(tool=defacing.mask_tool, image=image, folder=folder)
            mask = masking.result() if _run(masking.argv(), defacing) else None
            if mask is None:
                return False
        command = Deface(tool=defacing.tool, image=image, folder=folder, mask=mask)
        result = command.result() if _run(command.argv(), defacing) else None
        return result is not None and _replaced(image, result)


def _run(argv: list[str], defacing: Defacing) -> bool:
    try:
        done = subprocess.run(
            argv, capture_output=True, timeout=60 * defacing.timeout_minutes, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _replaced(image: Path, result: Path) -> bool:
    import nibabel  # noqa: PLC0415 - 0.2 s, only where images are defaced
    import numpy as np  # noqa: PLC0415 - the same

    try:
        before: Any = nibabel.load(image)
        after: Any = nibabel.load(result)
        old, new = np.asanyarray(before.dataobj), np.asanyarray(after.dataobj)
    except Exception:  # noqa: BLE001 - whatever a foreign program wrote
        return False
    if old.shape != new.shape or not np.allclose(before.affine, after.affine, atol=1e-3) or np.array_equal(old, new):
        return False
    header = before.header.copy()
    header.set_data_dtype(new.dtype)
    fresh = image.with_name(f"{image.name}.defaced.nii")
    nibabel.Nifti1Image(new, before.affine, header).to_filename(fresh)  # type: ignore[no-untyped-call]
    fresh.replace(image)
    return True


def tool_version(tool: str) -> str:
    """Give the version of a defacing program, `unknown` where it can't be found out."""
    program = shutil.which(_PROGRAMS[tool])
    if program is None or tool not in _PACKAGES:
        return "unknown"
    with Path(program).open("rb") as file:
        first = file.readline().decode("utf-8", "replace").strip()
    if not first.startswith("#!") or "python" not in first:
        return "unknown"
    code = f"import importlib.metadata as m; print(m.version({tool!r}))"
    done = subprocess.run([*first[2:].split(), "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
