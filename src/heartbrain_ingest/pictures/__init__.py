"""Draw small pictures of images, so that somebody sees at a glance what an image is and whether it is good."""

from heartbrain_ingest.pictures.images import KINDS, draw_pictures, picture_stem

__all__ = ["KINDS", "draw_pictures", "picture_stem"]
