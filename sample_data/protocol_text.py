"""The protocol that Siemens packs into the CSA series header (MrPhoenixProtocol): an XProtocol around an ASCCONV list.

Real ones carry the patient, the physician and the hospital in plain text; so does this.
"""

from __future__ import annotations

from sample_data.geometry import Slab
from sample_data.images import Volume
from sample_data.people import Person, Site
from sample_data.protocols import Kind, Protocol

_XPROTOCOL = """<XProtocol>
{{
  <Name> "PhoenixMetaProtocol"
  <ID> 1000002
  <Userversion> 2.0
  <ParamMap."">
  {{
    <ParamBool."IsInlineComposed"> {{ }}
    <ParamLong."Count"> {{ 1 }}
    <ParamMap."DICOM">
    {{
      <ParamString."tPatientName"> {{ "{name}" }}
      <ParamString."PatientID"> {{ "{patient_id}" }}
      <ParamString."PatientBirthDay"> {{ "{birth_date}" }}
      <ParamString."tReferringPhysician"> {{ "{referring}" }}
      <ParamString."tPerfPhysiciansName"> {{ "{performing}" }}
      <ParamString."InstitutionName"> {{ "{institution}" }}
      <ParamString."InstitutionAddress"> {{ "{address}" }}
      <ParamString."DeviceSerialNumber"> {{ "{serial}" }}
    }}
    <ParamString."Protocol0"> {{ "
### ASCCONV BEGIN object=MrProtDataImpl@MrProtocolData version=51130001 converter=%MEASCONST%/Prot_Converter.txt ###
{ascconv}
### ASCCONV END ###" }}
  }}
}}
"""


def protocol_text(*, protocol: Protocol, volume: Volume, person: Person, site: Site, frame_uid: str) -> str:
    """Give the protocol of a series with the geometry of `volume`; `frame_uid` is the localizer's image."""
    entries = _sequence(protocol, frame_uid)
    if protocol.kind is not Kind.REAL_TIME:  # its many small files are to stay small
        entries |= _adjustments(person.weight_kg) | _encoding(protocol) | _slices(protocol, volume.slab)
    return _XPROTOCOL.format(
        name=person.name,
        patient_id=person.patient_id,
        birth_date=f"{person.birth_date:%Y%m%d}",
        referring=site.referring_physicians[0],
        performing=site.performing_physician,
        institution=site.institution,
        address=site.address,
        serial=site.device_serial,
        ascconv="\n".join(f"{key}\t = \t{value}" for key, value in entries.items()),
    )


def _sequence(protocol: Protocol, frame_uid: str) -> dict[str, str]:
    entries = {
        "ulVersion": "51130001",
        "tSequenceFileName": _quoted(protocol.sequence_file),
        "tProtocolName": _quoted(protocol.description),
        "tReferenceImage0": _quoted(frame_uid),
        "lContrasts": str(len(protocol.echo_ms)),
        "ucReconstructionMode": "8" if protocol.kind is Kind.FIELD_PHASE else "1",
        "ucCoilCombineMode": "2",
        "lRepetitions": str(protocol.volumes - 1),
        "lScanTimeSec": str(round(protocol.duration_s)),
        "alTR[0]": str(round(protocol.repetition_ms * 1000)),
    }
    for number, echo_ms in enumerate(protocol.echo_ms):
        entries[f"alTE[{number}]"] = str(round(echo_ms * 1000))
    if protocol.inversion_ms is not None:
        entries["alTI[0]"] = str(round(protocol.inversion_ms * 1000))
    return entries | {"adFlipAngleDegree[0]": f"{protocol.flip_degrees:.1f}"}


def _adjustments(weight_kg: float) -> dict[str, str]:
    coil = "sCoilSelectMeas.aRxCoilSelectData[0].asList[0]"
    return {
        "lPtabAbsStartPosZ": "-1296",
        "sProtConsistencyInfo.tBaselineString": _quoted("N4_VE11C_LATEST_20160120"),
        "sProtConsistencyInfo.flNominalB0": "2.89362001419",
        "sGRADSPEC.asGPAData[0].lOffsetX": "-2173",
        "sGRADSPEC.asGPAData[0].lOffsetY": "-2599",
        "sGRADSPEC.asGPAData[0].lOffsetZ": "7633",
        "sGRADSPEC.alShimCurrent[0]": "33",
        "sGRADSPEC.alShimCurrent[1]": "30",
        "sGRADSPEC.alShimCurrent[2]": "-81",
        "sGRADSPEC.alShimCurrent[3]": "130",
        "sGRADSPEC.alShimCurrent[4]": "22",
        "sTXSPEC.asNucleusInfo[0].tNucleus": _quoted("1H"),
        "sTXSPEC.asNucleusInfo[0].lFrequency": "123261672",
        "sTXSPEC.asNucleusInfo[0].flReferenceAmplitude": f"{150 + weight_kg:.6f}",
        f"{coil}.sCoilElementID.tCoilID": _quoted("Head_32"),
        f"{coil}.sCoilElementID.lCoilCopy": "1",
        f"{coil}.sCoilElementID.tElement": _quoted("H4"),
        f"{coil}.lElementSelected": "1",
    }


def _encoding(protocol: Protocol) -> dict[str, str]:
    entries = {
        "sKSpace.dPhaseResolution": "1.0",
        "sKSpace.dSliceResolution": "1.0",
        "sKSpace.lBaseResolution": str(protocol.columns),
        "sKSpace.lPhaseEncodingLines": str(protocol.rows),
        "sKSpace.ucPhasePartialFourier": "16",
        "sKSpace.ucSlicePartialFourier": "16",
        "sKSpace.ucDimension": "4" if protocol.acquisition_type == "3D" else "2",
        "sFastImaging.lEPIFactor": str(protocol.echo_train if protocol.mosaic else 1),
        "sFastImaging.lTurboFactor": str(1 if protocol.mosaic else protocol.echo_train),
        "sPat.lAccelFactPE": "1",
        "sPat.lAccelFact3D": "1",
        "sPat.ucPATMode": "1",
    }
    if protocol.phase_bandwidth:
        entries["sFastImaging.lEchoSpacing"] = str(round(1e6 / protocol.phase_bandwidth / protocol.rows))
    if protocol.b_values:
        entries["sDiffusion.ulMode"] = "8"
        entries["sDiffusion.lDiffWeightings"] = str(len(protocol.b_values))
        for number, b_value in enumerate(protocol.b_values):
            entries[f"sDiffusion.alBValue[{number}]"] = str(b_value)
    return entries


def _slices(protocol: Protocol, slab: Slab) -> dict[str, str]:
    entries = {
        "sSliceArray.lSize": str(1 if protocol.acquisition_type == "3D" else slab.slices),
        "sSliceArray.lConc": "1",
        "sSliceArray.ucMode": "4",
        "sSliceArray.asSlice[0].dThickness": f"{protocol.thickness:.6f}",
        "sSliceArray.asSlice[0].dPhaseFOV": f"{protocol.rows * protocol.pixel:.1f}",
        "sSliceArray.asSlice[0].dReadoutFOV": f"{protocol.columns * protocol.pixel:.1f}",
    }
    middle = slab.centre - slab.step * slab.spacing * (slab.slices - 1) / 2
    for axis, name in enumerate(("dSag", "dCor", "dTra")):
        entries[f"sSliceArray.asSlice[0].sPosition.{name}"] = f"{middle[axis]:.6f}"
        if slab.step[axis]:
            entries[f"sSliceArray.asSlice[0].sNormal.{name}"] = f"{slab.step[axis]:.12f}"
    return entries


def _quoted(text: str) -> str:
    return f'""{text}""'
