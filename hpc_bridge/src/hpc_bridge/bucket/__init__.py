"""One interface to the store that both sides share, and three stores: S3, a folder, and memory with faults."""

from hpc_bridge.bucket.base import Bucket, Conditions, Entry
from hpc_bridge.bucket.folder import FolderBucket
from hpc_bridge.bucket.memory import MemoryBucket
from hpc_bridge.bucket.policies import policy
from hpc_bridge.bucket.probe import Probe, probe
from hpc_bridge.bucket.settings import BucketSettings, open_bucket

__all__ = [
    "Bucket", "BucketSettings", "Conditions", "Entry", "FolderBucket", "MemoryBucket", "Probe", "open_bucket", "policy",
    "probe",
]  # fmt: skip
