"""Heartbeat and breathing of one visit: phases as functions of the time of day, for images and recordings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sample_data.geometry import Vector


@dataclass(frozen=True, kw_only=True)
class Rhythm:
    """Mean rates in 1/min; around them the heart follows the breath and both drift a little."""

    heart_rate: float
    breathing_rate: float

    def breath(self, seconds: Vector) -> Vector:
        """Give the phase of breathing in cycles at times in seconds since midnight."""
        steady = seconds * self.breathing_rate / 60.0
        drift: Vector = steady + 0.12 * np.sin(2 * np.pi * seconds / 23.0)
        return drift

    def heart(self, seconds: Vector) -> Vector:
        """Give the phase of the heartbeat in cycles (whole at each R peak); it quickens with every breath in."""
        arrhythmia = 0.04 * np.sin(2 * np.pi * self.breath(seconds))
        phase: Vector = seconds * self.heart_rate / 60.0 + arrhythmia + 0.3 * np.sin(2 * np.pi * seconds / 41.0)
        return phase
