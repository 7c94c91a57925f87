"""The HPC side of the bridge: runs catalogued functions for requests found in a bucket."""

__version__ = "0.1.0"
