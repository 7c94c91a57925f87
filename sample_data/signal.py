"""What a sequence makes of a tissue: signal equations and the noise of magnitude images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sample_data.geometry import Vector
from sample_data.phantom import TissueProperties

FULL_SCALE = 4095
"""Largest value of a 12-bit image."""


def relaxation_time(tissue: TissueProperties, *, contrast: bool) -> float:
    """Give T1 in ms, shortened by the agent where `contrast`: 1/T1 = 1/T1(native) + enhancement."""
    rate = 1.0 / tissue.t1 + (tissue.enhancement / 1000.0 if contrast else 0.0)
    return 1.0 / rate


def spin_echo(tissue: TissueProperties, *, repetition_ms: float, echo_ms: float) -> float:
    """Give the signal of a spin echo: PD (1 - exp(-TR/T1)) exp(-TE/T2)."""
    recovered = 1.0 - np.exp(-repetition_ms / tissue.t1)
    return float(tissue.proton_density * recovered * np.exp(-echo_ms / tissue.t2))


def inversion_recovery(
    tissue: TissueProperties, *, repetition_ms: float, inversion_ms: float, echo_ms: float, contrast: bool = False
) -> float:
    """Give the magnitude of an inversion recovery: PD |1 - 2 exp(-TI/T1) + exp(-TR/T1)| exp(-TE/T2)."""
    t1 = relaxation_time(tissue, contrast=contrast)
    longitudinal = 1.0 - 2.0 * np.exp(-inversion_ms / t1) + np.exp(-repetition_ms / t1)
    return float(tissue.proton_density * abs(longitudinal) * np.exp(-echo_ms / tissue.t2))


def gradient_echo(tissue: TissueProperties, *, repetition_ms: float, echo_ms: float, flip_degrees: float) -> float:
    """Give the signal of a spoiled gradient echo (Ernst equation) with exp(-TE/T2*)."""
    flip = np.deg2rad(flip_degrees)
    decay = np.exp(-repetition_ms / tissue.t1)
    steady = np.sin(flip) * (1.0 - decay) / (1.0 - np.cos(flip) * decay)
    return float(tissue.proton_density * steady * np.exp(-echo_ms / tissue.t2_star))


def ivim_attenuation(tissue: TissueProperties, b_value: float) -> float:
    """Give S(b)/S0 = f exp(-b D*) + (1 - f) exp(-b D) (Le Bihan 1988), b in s/mm2."""
    f = tissue.perfusion_fraction
    return float(f * np.exp(-b_value * tissue.pseudo_diffusion) + (1.0 - f) * np.exp(-b_value * tissue.diffusion))


def rician(magnitude: Vector, sigma: float, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Add complex Gaussian noise of standard deviation `sigma` per channel and store the magnitude in 12 bits."""
    real = magnitude + sigma * rng.standard_normal(magnitude.shape)
    imaginary = sigma * rng.standard_normal(magnitude.shape)
    noisy = np.rint(np.sqrt(real**2 + imaginary**2))
    return np.clip(noisy, 0, FULL_SCALE).astype(np.uint16)
