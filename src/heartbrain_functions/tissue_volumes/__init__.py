"""Volumes of grey matter, white matter and cerebrospinal fluid from a T1-weighted image of the head."""

from heartbrain_functions.tissue_volumes.cavity import Cavity, find_cavity
from heartbrain_functions.tissue_volumes.classes import Tissue, Tissues, classify

__all__ = ["Cavity", "Tissue", "Tissues", "classify", "find_cavity"]
