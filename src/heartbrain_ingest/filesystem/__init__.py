"""The Standardized Filesystem (Spreckelsen et al. 2020): paths, README headers, atomic publication, compliance."""

from heartbrain_ingest.filesystem.compliance import Finding, check_tree
from heartbrain_ingest.filesystem.layout import DATA_ANALYSIS, EXPERIMENTAL_DATA, delivery_folder, safe_label
from heartbrain_ingest.filesystem.packing import pack, pack_file
from heartbrain_ingest.filesystem.publish import checksum_list, files_below, folder_digest, publish, sync_tree
from heartbrain_ingest.filesystem.readme import FileEntry, ReadmeHeader, read_header, write_readme
from heartbrain_ingest.filesystem.refused import keep_refused, refused_deliveries, refused_folder
from heartbrain_ingest.filesystem.scratch import memory_folder

__all__ = [
    "DATA_ANALYSIS",
    "EXPERIMENTAL_DATA",
    "FileEntry",
    "Finding",
    "ReadmeHeader",
    "check_tree",
    "checksum_list",
    "delivery_folder",
    "files_below",
    "folder_digest",
    "keep_refused",
    "memory_folder",
    "pack",
    "pack_file",
    "publish",
    "read_header",
    "refused_deliveries",
    "refused_folder",
    "safe_label",
    "sync_tree",
    "write_readme",
]
