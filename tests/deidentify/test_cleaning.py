from __future__ import annotations

import pytest

from heartbrain_ingest.deidentify import Identifiers
from heartbrain_ingest.deidentify.cleaning import blank, clean
from heartbrain_ingest.deidentify.dates import shifted
from heartbrain_ingest.deidentify.identifiers import SHORTEST_TO_CLEAN, Kind, spellings

IDENTIFIERS = Identifiers(
    frozenset(
        {
            (Kind.NAME, "Müller^Anna-Lena"),
            (Kind.PATIENT, "HB-48151623"),
            (Kind.DATE, "20210715"),
            (Kind.PLACE, "Universitätsmedizin Fallersleben"),
            (Kind.UID, "1.3.12.2.1107.5.2.43.67060.2021"),
        }
    )
)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("t1_mprage_sag_p2_iso", "t1_mprage_sag_p2_iso"),
        ("t1_mueller_sag", "t1_sag"),
        ("MULLER, t2", "t2"),
        ("Anna Lena t2 tra", "t2 tra"),
        ("ep2d_diff_b1000", "ep2d_diff_b1000"),
        ("scan 15.7.2021 axial", "scan axial"),
        ("MR20210715121230", "MR"),
        ("hb-48151623", ""),
        ("for Dr. Holmes: T2", "for T2"),
        ("call +49 551 3912345 now", "call now"),
        ("mail a.b@hospital.example today", "mail today"),
        ("b=2000(0.445,0.000,0.895)", "b=2000(0.445,0.000,0.895)"),
        ("TE 1.234567890", "TE 1.234567890"),
        ("Fallersleben protocol", "protocol"),
        ("annalise", "annalise"),
        ("Apr 19 2017 10:08:21", "Apr 19 2017 10:08:21"),
    ],
)
def test_a_text_keeps_its_words_and_loses_identifiers(text: str, cleaned: str) -> None:
    assert clean(text, IDENTIFIERS.matcher(SHORTEST_TO_CLEAN)) == cleaned


def test_words_of_the_standards_are_no_names() -> None:
    identifiers = Identifiers(frozenset({(Kind.NAME, "Slice^Timing")}))
    matcher = identifiers.matcher(SHORTEST_TO_CLEAN, frozenset({"slice", "slicetiming"}))
    assert clean("slice SliceTiming Timing", matcher) == "slice SliceTiming"


def test_words_of_the_scanners_make_are_no_names() -> None:
    identifiers = Identifiers(frozenset({(Kind.NAME, "Philips^Jo Ann")}), frozenset({"philips"}))
    assert clean("Philips Ann", identifiers.matcher(SHORTEST_TO_CLEAN)) == "Philips"


def test_binary_blocks_keep_their_length() -> None:
    data = b"\x01\x02HB-48151623\x00\xff11/16/118\x00Mueller\x00"
    cleaned = blank(data, IDENTIFIERS.matcher(SHORTEST_TO_CLEAN))
    assert cleaned == b"\x01\x02" + bytes(11) + b"\x00\xff" + bytes(9) + b"\x00" + bytes(7) + b"\x00"


@pytest.mark.parametrize("form", ["20210715", "2021-07-15", "15.07.2021", "07/15/2021", "15 jul 2021", "jul 15, 2021"])
def test_dates_are_known_in_all_common_forms(form: str) -> None:
    assert form in set(spellings(Kind.DATE, "20210715"))


@pytest.mark.parametrize(
    ("value", "moved"),
    [
        (b"20210715", b"20210714"),
        (b"20210715121230.5+0200 ", b"20210714121230.5+0200"),
        (b"2021.07.15", b"20210714"),
        (b"2021", b"2020"),
        (b"202107", b"202106"),
        (b"***", b""),
        (b"20211399", b""),
        (b"Adler", b""),
        (b"", b""),
    ],
)
def test_a_date_moves_and_what_is_none_goes(value: bytes, moved: bytes) -> None:
    assert shifted(value, -1) == moved


def test_identifiers_join_and_never_show_themselves() -> None:
    joined = IDENTIFIERS | Identifiers(frozenset({(Kind.NAME, "Roe^Jane")}), frozenset({"siemens"}))
    assert len(joined) == 6
    assert "Roe" not in repr(joined)
    assert "Müller" not in str(joined)
