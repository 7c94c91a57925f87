"""Find the files of the inbox, read their headers and group them into deliveries, never by name or order."""

from heartbrain_ingest.inbox.archives import ArchiveError, unpack
from heartbrain_ingest.inbox.facts import DicomFacts, FileFacts, classify_files
from heartbrain_ingest.inbox.files import FoundFile, read_content, unpacked, walk
from heartbrain_ingest.inbox.sessions import SessionLabeler, delivery_key, valid_date

__all__ = [
    "ArchiveError",
    "DicomFacts",
    "FileFacts",
    "FoundFile",
    "SessionLabeler",
    "classify_files",
    "delivery_key",
    "read_content",
    "unpack",
    "unpacked",
    "valid_date",
    "walk",
]
