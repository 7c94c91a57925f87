"""Laboratory tables: read what laboratories send, resolve pseudonyms, write one clean table per delivery."""

from heartbrain_ingest.lab.delivery import Replaced, find_replaced, write_delivery, write_refused
from heartbrain_ingest.lab.measurement import UNREVIEWED, LabDelivery, LabTableError, Measurement, Refusal, SubjectRef
from heartbrain_ingest.lab.reader import read_table
from heartbrain_ingest.lab.rules import LabRules, load_rules
from heartbrain_ingest.lab.tables import is_lab_table

__all__ = [
    "UNREVIEWED",
    "LabDelivery",
    "LabRules",
    "LabTableError",
    "Measurement",
    "Refusal",
    "Replaced",
    "SubjectRef",
    "find_replaced",
    "is_lab_table",
    "load_rules",
    "read_table",
    "write_delivery",
    "write_refused",
]
