"""The web page: ask, look, click, follow."""

from heartbrain_ingest.portal.app import make_app

__all__ = ["make_app"]
