"""What the shipped functions say of themselves, so that it can be said in other languages.

A test holds this against their function.yml; what a computing centre writes itself is shown as it is.
"""

from __future__ import annotations


def N_(text: str) -> str:  # noqa: N802 - the name by which texts are found that are translated later
    """Mark a text."""
    return text


SHIPPED = (
    N_("Checksum report"),
    N_("Lists every input file with its size and checksum. Good for trying the whole way there and back."),
    N_("Checksum"),
    N_("how the checksum is computed"),
    N_("Label"),
    N_("a text that the report repeats"),
    N_("Waiting time"),
    N_("how long the job waits before it begins, to watch the bridge at work"),
    N_("Regions of the brain (FastSurfer)"),
    N_(
        "Segments the brain of a T1-weighted image with FastSurfer: volumes, areas and thicknesses of all "
        "regions. Takes about an hour."
    ),
    N_("Regions of the brain (FreeSurfer)"),
    N_(
        "Segments the brain of a T1-weighted image with recon-all: volumes, areas and thicknesses of all "
        "regions. Takes 4 to 10 hours. Asked for again, a job that its time limit ended goes on with the third "
        "of the work in which it was stopped."
    ),
    N_("Intravoxel incoherent motion (IVIM)"),
    N_(
        "Maps of perfusion fraction, diffusion and pseudo-diffusion with their standard errors from a "
        "diffusion series with many b-values; means, a page with pictures. S/S0 = f exp(-b D*) + (1 - f) "
        "exp(-b D), Le Bihan 1988."
    ),
    N_("Method"),
    N_(
        "shrinkage learns from all voxels what is likely and tames D* where the signal says little; nlls and "
        "varpro are least squares of all parameters; segmented is a line, then one dimension"
    ),
    N_("Directions"),
    N_("average takes the geometric mean over the directions of each b-value; keep fits each volume as it is"),
    N_("Noise floor"),
    N_("estimate measures the noise in the air around the object; none assumes there is no floor"),
    N_("b-value from which perfusion is taken to be gone"),
    N_("for the segmented method"),
    N_("Largest perfusion fraction"),
    N_("Largest diffusion coefficient D"),
    N_("Largest pseudo-diffusion coefficient D*"),
    N_("Accept b-values that a scanner seems to have rounded"),
    N_("Volumes of grey matter, white matter and fluid"),
    N_(
        "Finds the brain in a T1-weighted image and gives the volumes of grey matter, white matter and "
        "cerebrospinal fluid and of all within the skull, with a segmentation and a page to look at. No "
        "licence, minutes, for a first look; FreeSurfer knows the regions."
    ),
)
