"""Give every converted image its BIDS name and show what is published as a BIDS dataset."""

from heartbrain_ingest.bids.model import Candidate, NamedImage, Naming, Tried
from heartbrain_ingest.bids.perfusion import read_asl_context, read_background_suppression
from heartbrain_ingest.bids.rules import NamingRules, load_naming_rules
from heartbrain_ingest.bids.session import name_session
from heartbrain_ingest.bids.statements import STATED_BY
from heartbrain_ingest.bids.validator import ValidationIssue, ValidationReport, validate
from heartbrain_ingest.bids.view import ViewError, compose_view, refuse_occupied

__all__ = [
    "STATED_BY",
    "Candidate",
    "NamedImage",
    "Naming",
    "NamingRules",
    "Tried",
    "ValidationIssue",
    "ValidationReport",
    "ViewError",
    "compose_view",
    "load_naming_rules",
    "name_session",
    "read_asl_context",
    "read_background_suppression",
    "refuse_occupied",
    "validate",
]
