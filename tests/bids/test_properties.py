"""What holds for every session, whatever the scanner sends."""

from __future__ import annotations

import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heartbrain_ingest.bids.model import Candidate
from heartbrain_ingest.bids.schema import load_schema
from heartbrain_ingest.bids.session import name_session

NAME = re.compile(r"sub-A_ses-1(_[a-z]+-[A-Za-z0-9]+)*_[A-Za-z0-9]+")
PROTOCOLS = [
    "t1_mprage",
    "ep2d_bold_rest",
    "ep2d_bold_rest_SBRef",
    "gre_field_mapping",
    "SpinEchoFieldMap_AP",
    "localizer",
    "ÄÖ ?",
    "",
]

candidates = st.lists(
    st.builds(
        lambda number, name, kind, echo, direction, volumes, time: {
            "series_uid": f"2.25.{number}",
            "series_number": number,
            "acquisition_time": time,
            "header": {"SeriesDescription": name, "ImageType": ["ORIGINAL", "PRIMARY", kind, "ND"]},
            "sidecar": {
                "EchoTime": echo,
                "RepetitionTime": 2.0,
                "PhaseEncodingDirection": direction,
                "TotalReadoutTime": 0.05,
            },
            "shape": (8, 8, 4, volumes),
            "voxel_size": (1.0, 1.0, 1.0),
            "b_values": (),
        },
        st.integers(1, 4),
        st.sampled_from(PROTOCOLS),
        st.sampled_from(["M", "P"]),
        st.sampled_from([0.01, 0.02, 0.03]),
        st.sampled_from(["j", "j-", "i"]),
        st.sampled_from([1, 5]),
        st.sampled_from(["", "10:00:00", "10:00:01"]),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=candidates, order=st.randoms(use_true_random=False))
def test_every_image_gets_one_valid_name_of_its_own_whatever_the_order(rules, drawn, order):
    session = [Candidate(key=f"{index}/x", **values) for index, values in enumerate(drawn)]
    images = name_session(session, rules, subject="sub-A", session="ses-1")
    paths = [str(image.path) for image in images]
    assert sorted(image.candidate.key for image in images) == sorted(candidate.key for candidate in session)
    assert len(set(paths)) == len(paths)
    for image in images:
        assert NAME.fullmatch(image.path.name)
        for uri in image.metadata.get("IntendedFor", []):
            assert uri.removeprefix("bids::").removesuffix(".nii.gz") in paths
    order.shuffle(session)
    again = name_session(session, rules, subject="sub-A", session="ses-1")
    assert {image.candidate.key: (image.path, image.metadata) for image in again} == {
        image.candidate.key: (image.path, image.metadata) for image in images
    }


VENDORS = ["SIEMENS", "GE MEDICAL SYSTEMS", "Philips Healthcare", "UIH", "CANON_MEC", "BRUKER", ""]
TYPES = [
    ["ORIGINAL", "PRIMARY", "M", "ND"],
    ["ORIGINAL", "PRIMARY", "P", "ND"],
    ["DERIVED", "PRIMARY", "DIFFUSION", "ADC", "ND"],
    ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW"],
    ["DERIVED", "SECONDARY", "MPR"],
    ["ORIGINAL", "PRIMARY", "OTHER"],
    [],
]
WORDS = [
    "t1",
    "t2",
    "mprage",
    "bold",
    "rest",
    "dwi",
    "ADC",
    "field_map",
    "AP",
    "PA",
    "asl",
    "SBRef",
    "venc",
    "cine",
    "rt",
    "flair",
]


@st.composite
def series(draw):
    """Make a series as no scanner would, but could: any words, types, vendors, times and shapes together."""
    b_values = draw(st.sampled_from([(), (0.0, 1000.0), (0.0, 10.0, 20.0, 50.0, 100.0, 800.0), (0.0, 0.0)]))
    volumes = len(b_values) or draw(st.sampled_from([1, 2, 50]))
    return {
        "header": {
            "Manufacturer": draw(st.sampled_from(VENDORS)),
            "SeriesDescription": "_".join(draw(st.lists(st.sampled_from(WORDS), max_size=4))),
            "ImageType": draw(st.sampled_from(TYPES)),
            "ContrastBolusAgent": draw(st.sampled_from([None, "Gadovist", "no"])),
        },
        "sidecar": {
            "RepetitionTime": draw(st.sampled_from([0.01, 2.0, 9.0])),
            "EchoTime": draw(st.sampled_from([0.002, 0.03, 0.1])),
            "InversionTime": draw(st.sampled_from([None, 0.9, 2.5])),
            "InPlanePhaseEncodingDirectionDICOM": draw(st.sampled_from([None, "ROW", "COL"])),
            "ImageOrientationPatientDICOM": draw(st.sampled_from([None, [1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1]])),
            "BidsGuess": draw(st.sampled_from([None, ["anat", "_T1w"], ["derived", "_ADC"], ["func", "_bold"]])),
        },
        "shape": (32, 32, draw(st.sampled_from([1, 20])), volumes),
        "b_values": b_values,
    }


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(series(), min_size=1, max_size=5))
def test_whatever_a_scanner_writes_is_named_once_where_bids_allows_it_or_kept_outside(rules, drawn):
    session = [
        Candidate(
            key=f"{number}/x",
            series_uid=f"2.25.{number}",
            series_number=number,
            acquisition_time=f"10:{number:02d}:00",
            voxel_size=(2.0, 2.0, 2.0),
            **one,
        )
        for number, one in enumerate(drawn)
    ]
    schema = load_schema()
    images = name_session(session, rules, subject="sub-A", session="ses-1")
    assert len({image.path for image in images}) == len(images) == len(drawn)
    for image in images:
        naming = image.naming
        inside = image.path.parts[0] == "sub-A"
        assert inside == (naming.datatype is not None and naming.folder is None)
        assert inside or image.path.parts[0] in {"sourcedata", "derivatives"}
        assert image.metadata["RecordType"] == naming.record_type
        if naming.datatype is not None:
            allowed = schema.names[naming.datatype, naming.suffix]
            assert set(naming.entities) <= set(allowed)
            assert {entity for entity, level in allowed.items() if level == "required"} <= {*naming.entities, "sub"}
        if "DERIVED" in image.candidate.header["ImageType"] and "ADC" in image.candidate.header["ImageType"]:
            assert image.path.parts[:2] == ("derivatives", "scanner")
        if naming.code == "UNCLASSIFIED":
            assert image.path.parts[:2] == ("sourcedata", "unclassified")
        # What the header does not tell is not written into the sidecar.
        assert not {"PhaseEncodingDirection", "BackgroundSuppression", "TotalReadoutTime"} & set(image.metadata)
