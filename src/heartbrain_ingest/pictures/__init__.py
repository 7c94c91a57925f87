"""Draw small pictures of images, so that somebody sees at a glance what an image is and whether it is good.

What draws is imported on first use: naming and viewing only ask where pictures are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from heartbrain_ingest.pictures.places import ENDINGS, picture_stem

if TYPE_CHECKING:
    from heartbrain_ingest.pictures.images import draw_pictures

__all__ = ["ENDINGS", "draw_pictures", "picture_stem"]


def __getattr__(name: str) -> object:
    if name != "draw_pictures":
        raise AttributeError(name)
    from heartbrain_ingest.pictures import images  # noqa: PLC0415 - loads numpy

    return images.draw_pictures
