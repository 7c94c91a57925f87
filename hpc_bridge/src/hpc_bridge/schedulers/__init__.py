"""Batch systems behind one interface: Slurm, and subprocesses of this machine."""

from hpc_bridge.schedulers.base import Phase, Resources, Scheduler, Sighting, Submission

__all__ = ["Phase", "Resources", "Scheduler", "Sighting", "Submission"]
