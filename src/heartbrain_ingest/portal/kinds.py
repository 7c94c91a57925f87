"""Kinds of records in plain words, for the form."""

from __future__ import annotations

from dataclasses import dataclass

from heartbrain_ingest.portal.datamodel import DataModel
from heartbrain_ingest.portal.pages import Translate


def N_(text: str) -> str:  # noqa: N802 - the name by which texts are found that are translated later
    """Mark a text."""
    return text


#: Numbers that are written as they are stored, as nobody else may round them: what a laboratory reported.
AS_STORED = frozenset({"MeasuredValue", "ReferenceLow", "ReferenceHigh"})
#: What is asked for most, in the order in which it is offered. Other kinds go by the data model's description.
PLAIN = {
    "MRImage": N_("Images of any kind"),
    "T1WeightedImage": N_("T1-weighted images"),
    "T2WeightedImage": N_("T2-weighted images"),
    "FLAIRImage": N_("FLAIR images"),
    "DiffusionWeightedImage": N_("Diffusion images"),
    "BOLDImage": N_("Functional images (BOLD)"),
    "PerfusionImage": N_("Perfusion images"),
    "AngiographyImage": N_("Images of vessels (angiography)"),
    "SusceptibilityWeightedImage": N_("Susceptibility-weighted images"),
    "T2StarWeightedImage": N_("T2*-weighted images"),
    "PDWeightedImage": N_("Proton density images"),
    "CineImage": N_("Films of the heart beat (cine)"),
    "RealTimeImage": N_("Real-time images"),
    "LateEnhancementImage": N_("Late enhancement images"),
    "PhaseContrastImage": N_("Flow images (phase contrast)"),
    "SpectroscopyImage": N_("Spectroscopy"),
    "FieldMap": N_("Field maps"),
    "QuantitativeMap": N_("Maps computed by the scanner"),
    "T1Map": N_("T1 maps"),
    "T2Map": N_("T2 maps"),
    "T2StarMap": N_("T2* maps"),
    "ADCMap": N_("Diffusion maps (ADC)"),
    "FAMap": N_("Fractional anisotropy maps"),
    "LocalizerImage": N_("Localizers"),
    "PhysiologicalRecording": N_("Recordings of any kind"),
    "ECGRecording": N_("ECG"),
    "PulseOximetryRecording": N_("Pulse curve"),
    "RespirationRecording": N_("Breathing"),
    "LaboratoryMeasurement": N_("Laboratory values"),
    "BloodSample": N_("Blood samples"),
    "UrineSample": N_("Urine samples"),
    "AnalysisResult": N_("Results of any kind"),
    "IVIMAnalysis": N_("Perfusion and diffusion of tissue (IVIM)"),
    "TissueVolumes": N_("Volumes of brain tissues"),
    "FreeSurferSegmentation": N_("Regions of the brain (FreeSurfer)"),
    "RegionMeasurement": N_("Single regions of brains"),
    "ResultRow": N_("Single rows of results"),
    "Subject": N_("Subjects"),
    "Session": N_("Visits to the scanner"),
    "Sample": N_("Samples"),
    "ImageGroup": N_("Saved groups of images"),
    "PostProcessingRequest": N_("Requests for computations"),
}
_GROUPS = (
    (N_("Images"), "MRImage"),
    (N_("Recordings"), "PhysiologicalRecording"),
    (N_("Laboratory"), "LaboratoryMeasurement"),
    (N_("Laboratory"), "Sample"),
    (N_("Results"), "AnalysisResult"),
    (N_("Results"), "ResultRow"),
    (N_("People and visits"), "Subject"),
    (N_("People and visits"), "Session"),
    (N_("Work"), "ImageGroup"),
    (N_("Work"), "PostProcessingRequest"),
)
_OTHERS = N_("Less common images")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A kind of record that the form offers."""

    name: str
    label: str
    description: str


def plain_name(kind: str, model: DataModel, _: Translate) -> str:
    """Give a kind's plain name; what the data model says of it where this program knows none."""
    if kind in PLAIN:
        return _(PLAIN[kind])
    known = model.kinds.get(kind)
    # The descriptions go on to say what BIDS calls it.
    short = known.description.partition(" (")[0].partition(";")[0].strip() if known else ""
    return f"{short} ({kind})" if short else kind


def choices(model: DataModel, _: Translate) -> list[tuple[str, list[Choice]]]:
    """Give the kinds that the visitor may see, in groups."""
    groups: dict[str, list[Choice]] = {}
    rank = {name: position for position, name in enumerate(PLAIN)}
    for group, root in _GROUPS:
        names = [one for one in model.descendants(root) if one in model.kinds]
        for name in sorted(names, key=lambda one: (rank.get(one, len(rank)), one)):
            home = _OTHERS if root == "MRImage" and name not in PLAIN else group
            description = model.kinds[name].description
            choice = Choice(name=name, label=plain_name(name, model, _), description=description)
            if choice not in groups.setdefault(home, []):
                groups[home].append(choice)
    if _OTHERS in groups:
        groups[_OTHERS] = groups.pop(_OTHERS)
    return [(_(group), found) for group, found in groups.items() if found]
