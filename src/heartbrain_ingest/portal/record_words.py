"""What records are called in plain words."""

from __future__ import annotations

import re

from heartbrain_ingest.portal.entity import Entity, Model
from heartbrain_ingest.portal.pages import Translate


def N_(text: str) -> str:  # noqa: N802 - the name by which texts are collected
    """Mark a text that is translated where it is shown."""
    return text


#: The kinds that people meet most; others are called what the data model says of them.
_KINDS = {
    "Subject": N_("Subject"),
    "Session": N_("Session"),
    "Project": N_("Project"),
    "Person": N_("Person"),
    "T1WeightedImage": N_("T1-weighted image"),
    "T2WeightedImage": N_("T2-weighted image"),
    "FLAIRImage": N_("FLAIR image"),
    "DiffusionWeightedImage": N_("Diffusion-weighted series"),
    "BOLDImage": N_("Functional series (BOLD)"),
    "PerfusionImage": N_("Perfusion series (ASL)"),
    "FieldMap": N_("Field map"),
    "LocalizerImage": N_("Localizer"),
    "RealTimeImage": N_("Real-time series"),
    "CineImage": N_("Cine series of the heart"),
    "PhaseContrastImage": N_("Phase-contrast image of flow"),
    "LateEnhancementImage": N_("Late enhancement image of the heart"),
    "SusceptibilityWeightedImage": N_("Susceptibility-weighted image"),
    "AngiographyImage": N_("Angiography"),
    "ECGRecording": N_("Electrocardiogram"),
    "PulseOximetryRecording": N_("Pulse curve"),
    "RespirationRecording": N_("Breathing curve"),
    "PhysiologicalRecording": N_("Recording"),
    "BloodSample": N_("Blood sample"),
    "UrineSample": N_("Urine sample"),
    "Sample": N_("Sample"),
    "LaboratoryMeasurement": N_("Laboratory value"),
    "IVIMAnalysis": N_("Perfusion and diffusion (IVIM)"),
    "TissueVolumes": N_("Volumes of the brain's tissues"),
    "FreeSurferSegmentation": N_("Regions of the brain (FreeSurfer)"),
    "RegionMeasurement": N_("Region of a brain"),
    "SegmentationTotals": N_("Totals of a table"),
    "SurfaceCurvature": N_("Curvature of a surface"),
    "ResultRow": N_("Row of a result"),
    "AnalysisResult": N_("Result"),
    "ImageGroup": N_("Group of images"),
    "PostProcessingRequest": N_("Request"),
    "PostProcessingFunction": N_("Function"),
    "File": N_("File"),
    "MRImage": N_("Image"),
}
#: Analytes of `lab.yml`; others are called what they are there.
_ANALYTES = {
    "creatinine": N_("Creatinine"),
    "urea": N_("Urea"),
    "urate": N_("Uric acid"),
    "egfr": N_("eGFR"),
    "cystatin_c": N_("Cystatin C"),
    "sodium": N_("Sodium"),
    "potassium": N_("Potassium"),
    "chloride": N_("Chloride"),
    "calcium": N_("Calcium"),
    "magnesium": N_("Magnesium"),
    "glucose": N_("Glucose"),
    "hba1c": N_("HbA1c"),
    "cholesterol": N_("Cholesterol"),
    "cholesterol_hdl": N_("HDL cholesterol"),
    "cholesterol_ldl": N_("LDL cholesterol"),
    "triglycerides": N_("Triglycerides"),
    "crp": N_("CRP"),
    "crp_hs": N_("High-sensitivity CRP"),
    "interleukin_6": N_("Interleukin 6"),
    "troponin_t_hs": N_("High-sensitivity troponin T"),
    "troponin_i_hs": N_("High-sensitivity troponin I"),
    "nt_probnp": N_("NT-proBNP"),
    "ck": N_("Creatine kinase"),
    "alt": N_("ALT"),
    "ast": N_("AST"),
    "ggt": N_("GGT"),
    "ldh": N_("LDH"),
    "bilirubin": N_("Bilirubin"),
    "albumin": N_("Albumin"),
    "albumin_creatinine_ratio": N_("Albumin/creatinine ratio"),
    "protein": N_("Protein"),
    "tsh": N_("TSH"),
    "ferritin": N_("Ferritin"),
    "haemoglobin": N_("Haemoglobin"),
    "haematocrit": N_("Haematocrit"),
    "leukocytes": N_("Leukocytes"),
    "erythrocytes": N_("Erythrocytes"),
    "thrombocytes": N_("Thrombocytes"),
    "mcv": N_("MCV"),
    "ph": N_("pH"),
    "sedimentation_rate": N_("Sedimentation rate"),
    "inr": N_("INR"),
}
#: Numbers of results that stand at the top of their pages; others are called what the data model says of them.
_NUMBERS = {
    "mean_f": N_("Mean perfusion fraction f"),
    "mean_D": N_("Mean diffusion coefficient D"),
    "mean_Dstar": N_("Mean pseudo-diffusion coefficient D*"),
    "GreyMatterVolume": N_("Volume of the grey matter"),
    "WhiteMatterVolume": N_("Volume of the white matter"),
    "CSFVolume": N_("Volume of the cerebrospinal fluid"),
    "IntracranialVolume": N_("Volume within the skull"),
}
#: What tells two images of a session apart, as people say it.
_TRAITS = {
    "task": N_("task %s"),
    "acq": N_("acquisition %s"),
    "ce": N_("contrast agent %s"),
    "dir": N_("direction %s"),
    "rec": N_("reconstruction %s"),
    "run": N_("run %s"),
    "echo": N_("echo %s"),
    "desc": "%s",
}
_MATERIALS = {"blood": N_("blood"), "serum": N_("serum"), "plasma": N_("plasma"), "urine": N_("urine")}
#: Kinds of which a session has several that differ in what they show.
_SUFFIXED = frozenset({"FieldMap", "B1FieldMap"})
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def kind_words(kind: str, model: Model, _: Translate) -> str:
    """Give what a RecordType is called."""
    if kind in _KINDS:
        return _(_KINDS[kind])
    return model.description(kind) or _CAMEL.sub(" ", kind)


def analyte_words(analyte: str, _: Translate) -> str:
    """Give what an analyte is called."""
    return _(_ANALYTES[analyte]) if analyte in _ANALYTES else analyte


def material_words(material: str, _: Translate) -> str:
    """Give what the material of a sample is called."""
    return _(_MATERIALS[material]) if material in _MATERIALS else material


def number_words(name: str, description: str, _: Translate) -> str:
    """Give what a number of a result is called."""
    return _(_NUMBERS[name]) if name in _NUMBERS else description.split(" (", 1)[0] or name


def traits(entity: Entity, _: Translate) -> str:
    """Give what tells an image or recording from the others of its session."""
    suffix = entity.text("BIDSSuffix")
    found = [suffix] if entity.kind in _SUFFIXED and suffix else []
    named = ((form, entity.text(name)) for name, form in _TRAITS.items())
    return ", ".join([*found, *(_(form) % text for form, text in named if text and text != suffix)])


def title(entity: Entity, model: Model, _: Translate, *, material: str = "") -> str:
    """Give the heading of an entity's page.

    Parameters
    ----------
    material
        Of the sample of a laboratory value, as the data model names it.
    """
    words = kind_words(entity.kind, model, _)
    if entity.role == "File":
        return entity.file_name
    if analyte := entity.text("Analyte"):
        name = analyte_words(analyte, _)
        return f"{name}, {material_words(material, _)}" if material else name
    if model.is_below(entity.kind, "Acquisition"):
        more = traits(entity, _)
        return f"{words}, {more}" if more else words
    if model.is_below(entity.kind, "AnalysisResult"):
        return words
    return f"{words} {entity.name}" if entity.name else words
