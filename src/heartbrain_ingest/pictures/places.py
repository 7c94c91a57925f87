"""Where the pictures of an image are."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

#: The last part of a picture's name: the first volume, the mean over the volumes, mean over standard deviation.
KINDS: Final = ("planes", "mean", "tsnr")
#: How the names of all pictures end; the last one is the drawing of a spectrum.
ENDINGS: Final = (*(f"_{kind}.png" for kind in KINDS), "_spectrum.svg")


def picture_stem(image: PurePosixPath) -> PurePosixPath:
    """Give where the pictures of an image are, without ``_<kind>.png``.

    Parameters
    ----------
    image
        Path of the image without extension, relative to the session folder.

    Returns
    -------
    PurePosixPath
        ``derivatives/qc/sub-../ses-../<datatype>/<name>``; what is in ``sourcedata/`` or in another derivative keeps
        that part of its path in place of the datatype, so that no two images share a picture.
    """
    entities = image.name.split("_")
    folders = image.parts[:-1]
    if folders[0] == "derivatives":
        folders = (folders[1], folders[-1])
    elif folders[0].startswith("sub-"):
        folders = folders[2:]
    return PurePosixPath("derivatives", "qc", entities[0], entities[1], *folders, image.name)
