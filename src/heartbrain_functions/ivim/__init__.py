"""Intravoxel incoherent motion: perfusion fraction, diffusion and pseudo-diffusion from diffusion-weighted images."""

from heartbrain_functions.ivim.fitting import METHODS, Fit, Method, fit
from heartbrain_functions.ivim.model import Bounds, Failure, signal

__all__ = ["METHODS", "Bounds", "Failure", "Fit", "Method", "fit", "signal"]
