"""The functions of this project that an HPC centre runs: image in, maps, numbers and a `result.json` out.

Stands alone: imports nothing of heartbrain_ingest, and runs in a container that has nothing but this package.
"""
