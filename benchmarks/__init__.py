"""Measure the whole ingest beside the programs that others use for a part of it: `python -m benchmarks`."""
