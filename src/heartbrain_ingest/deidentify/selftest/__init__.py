"""Plant invented identifiers in headers of every vendor, run a site's rules over them, and score what they do."""

from heartbrain_ingest.deidentify.selftest.run import run_selftest
from heartbrain_ingest.deidentify.selftest.score import Failure, Score

__all__ = ["Failure", "Score", "run_selftest"]
