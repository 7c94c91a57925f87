"""Which buckets and agents a site has; cheap to ask, before anything else of the bridge is loaded."""

from __future__ import annotations

from heartbrain_ingest.settings import Route, Settings
from hpc_bridge.bucket.settings import BucketSettings

EVERYBODY = "*"


def routes_of(settings: Settings) -> tuple[Route, ...]:
    """Give the routes; a site that names none has one for everybody, through a folder of its own."""
    given = settings.bridge.routes
    if given:
        return given
    bucket = BucketSettings(kind="folder", folder=settings.bridge.bucket)
    return (Route(name="default", users=(EVERYBODY,), bucket=bucket),)


def is_in_use(settings: Settings) -> bool:
    """Say whether the bridge was ever set up: the folder of the embedded default is not there before."""
    return bool(settings.bridge.routes) or settings.bridge.bucket.is_dir()
