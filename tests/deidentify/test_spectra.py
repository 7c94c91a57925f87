"""Spectra stay as they are when they are numbers; what hides in their place is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heartbrain_ingest.deidentify import Identifiers, LeakAudit, Rules
from heartbrain_ingest.deidentify.identifiers import Kind
from heartbrain_ingest.dicom.spectra import is_complex_numbers
from tests.deidentify.conftest import Clean, as_file, make_header

NAMES = Identifiers(frozenset({(Kind.NAME, "Lina"), (Kind.NAME, "Petersen"), (Kind.NAME, "Abel")}))


def _noise(points: int = 512, seed: int = 1) -> bytes:
    draw = np.random.default_rng(seed).normal(scale=2000.0, size=2 * points)
    return draw.astype("<f4").tobytes()


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1.0, 1e4, 1e9])
def test_noise_of_any_scale_is_numbers(scale: float) -> None:
    for seed in range(20):
        values = np.random.default_rng(seed).normal(scale=scale, size=100_000)
        assert is_complex_numbers(values.astype("<f4").tobytes())


@pytest.mark.parametrize(
    "value",
    [
        b"",
        _noise()[:-4],
        _noise(8),
        np.array([np.nan] * 64, "<f4").tobytes(),
        np.array([np.inf] * 64, "<f4").tobytes(),
        (b"LOGVERSION 1.02, patient Petersen, Lina, all is well " * 20)[:1024],
        _noise()[:800] + b"Petersen, Lina, born in May" + bytes(5) + _noise()[:800],
    ],
)
def test_what_is_no_series_of_complex_numbers_is_told_from_one(value: bytes) -> None:
    assert not is_complex_numbers(value)


@pytest.mark.parametrize(
    ("hidden", "is_leak"),
    [
        (b"\0Lina\0\0\0", False),  # four letters come by chance
        (b"\0Abel\x80\x81\x82", False),
        (b"\0Petersen\0\0\0", True),
        (b"\0Lina was here\0\0\0", True),
        (b"", False),
    ],
)
def test_a_name_among_numbers_counts_where_it_is_no_chance(
    rules: Rules, tmp_path: Path, hidden: bytes, is_leak: bool
) -> None:
    header = make_header()
    value = bytearray(_noise())
    value[400 : 400 + len(hidden)] = hidden
    header.add_new(0x56000020, "OF", bytes(value))
    file = tmp_path / "spectrum.dcm"
    file.write_bytes(as_file(header))
    leaks = LeakAudit(NAMES, rules.exemptions).scan_file(file)
    assert [leak.place for leak in leaks] == (["spectrum.dcm: (5600,0020)"] if is_leak else [])


def test_private_spectra_stay_and_other_private_blocks_in_their_place_go(clean: Clean) -> None:
    header = make_header()
    block = header.private_block(0x7FE1, "SIEMENS CSA NON-IMAGE", create=True)
    block.add_new(0x10, "OB", _noise())
    assert clean(header)[0x7FE1, 0x1010].value == _noise()
    block[0x10].value = b"LOGVERSION_ECG 1 Adler Irene 1 2 3 4 5 6 7 8 9 10 11 " * 8
    assert (0x7FE1, 0x1010) not in clean(header)
    other = make_header()
    other.private_block(0x7FE1, "SOMEBODY ELSE", create=True).add_new(0x10, "OB", _noise())
    assert (0x7FE1, 0x1010) not in clean(other)


def test_a_text_in_the_standards_place_of_spectra_goes(clean: Clean) -> None:
    header = make_header()
    header.add_new(0x56000020, "OF", b"Irene Adler, born on 30 October 1928, seen by Watson    " * 8)
    assert (0x5600, 0x0020) not in clean(header)
