"""What holds for every session, whatever the scanner sends."""

from __future__ import annotations

import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heartbrain_ingest.bids.model import Candidate
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
