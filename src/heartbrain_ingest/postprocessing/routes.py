"""Which buckets and agents a site has; cheap to ask, before anything else of the bridge is loaded."""

from __future__ import annotations

from typing import Any

from heartbrain_ingest.postprocessing.errors import BridgeSettingsError
from heartbrain_ingest.settings import Route, Settings
from hpc_bridge.bucket.policies import policy
from hpc_bridge.bucket.settings import BucketSettings

EVERYBODY = "*"


def routes_of(settings: Settings) -> tuple[Route, ...]:
    """Give the routes; a site that names none has one for everybody, through a folder of its own."""
    given = settings.bridge.routes
    if given:
        return given
    bucket = BucketSettings(kind="folder", folder=settings.bridge.bucket)
    return (Route(name="default", users=(EVERYBODY,), bucket=bucket),)


def bucket_policy(settings: Settings, name: str, *, rdm: str, agent: str) -> dict[str, Any]:
    """Give the policy that keeps the two sides of a route's bucket apart.

    Parameters
    ----------
    rdm, agent
        The store's names of the two users, e.g. `arn:aws:iam:::user/rdm`.

    Raises
    ------
    BridgeSettingsError
        When there is no such route, or its bucket is a folder, which has no policy.
    """
    routes = {route.name: route for route in routes_of(settings)}
    if name not in routes:
        raise BridgeSettingsError(f"there is no route {name}; there is {', '.join(routes)}")
    bucket = routes[name].bucket
    if bucket.bucket is None:
        raise BridgeSettingsError(f"the bucket of the route {name} is a folder: its owners and modes are its policy")
    return policy(bucket.bucket, bucket.prefix, rdm=rdm, agent=agent)


def is_in_use(settings: Settings) -> bool:
    """Say whether the bridge was ever set up: the folder of the embedded default is not there before."""
    return bool(settings.bridge.routes) or settings.bridge.bucket.is_dir()
