from __future__ import annotations

import re
from pathlib import Path

import pytest

from heartbrain_ingest.deidentify import Pseudonyms
from heartbrain_ingest.errors import KeyFileError


def test_a_new_key_is_readable_by_its_owner_only_and_gives_the_same_pseudonyms_when_loaded(tmp_path: Path) -> None:
    path = tmp_path / "key.yml"
    made = Pseudonyms.create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Pseudonyms.load(path).subject("4711", "19700101", "F") == made.subject("4711", "19700101", "F")
    assert Pseudonyms.load(path).uid("1.2.3.4.5") == made.uid("1.2.3.4.5")


def test_a_second_key_never_replaces_the_first(tmp_path: Path) -> None:
    Pseudonyms.create(tmp_path / "key.yml")
    with pytest.raises(KeyFileError):
        Pseudonyms.create(tmp_path / "key.yml")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key.yml"
    Pseudonyms.create(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="mode"):
        Pseudonyms.load(path)


@pytest.mark.parametrize(
    "content",
    ["", "key: 12", "key: zz", "- key", "key: 00\nkeys: 1", "key: [", "key: " + "0" * 64 + "\nsubjects: {1: a-b}"],
)
def test_a_damaged_key_file_is_refused_without_a_word_of_its_content(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key.yml"
    path.write_text(content, encoding="ascii")
    path.chmod(0o600)
    with pytest.raises(KeyFileError) as raised:
        Pseudonyms.load(path)
    assert "0" * 8 not in str(raised.value)


def test_the_stewards_own_labels_go_first(tmp_path: Path) -> None:
    path = tmp_path / "key.yml"
    path.write_text(f"key: {'ab' * 32}\nsubjects:\n  007: sub-HB07\n  '08 15': X1\n", encoding="ascii")
    path.chmod(0o600)
    pseudonyms = Pseudonyms.load(path)
    assert pseudonyms.subject("007", "19700101").label == "HB07"
    assert pseudonyms.subject("08  15").label == "X1"
    assert pseudonyms.subject("7").label != "HB07"
    assert pseudonyms.subject("007", "19700101") == pseudonyms.subject("007", "19710101")


def test_a_label_has_eight_capital_letters_and_digits(pseudonyms: Pseudonyms) -> None:
    assert re.fullmatch("[A-Z2-9]{8}", pseudonyms.subject("4711").label)


def test_case_and_blanks_do_not_make_a_second_subject(pseudonyms: Pseudonyms) -> None:
    assert pseudonyms.subject("ab 12 ", "19700101", "f") == pseudonyms.subject("AB 12", "19700101", "F")


def test_one_id_with_two_birth_dates_is_two_subjects(pseudonyms: Pseudonyms) -> None:
    assert pseudonyms.subject("4711", "19700101") != pseudonyms.subject("4711", "19710101")


def test_without_an_id_the_fallback_tells_people_apart(pseudonyms: Pseudonyms) -> None:
    first, second = (pseudonyms.subject("", fallback=name) for name in ("Doe^Jane 19700101", "Roe^Jane 19700101"))
    assert first != second
    assert first == pseudonyms.subject(" ", "19990101", fallback="doe^jane 19700101")


def test_dates_move_back_by_one_to_eleven_years(pseudonyms: Pseudonyms) -> None:
    days = [pseudonyms.subject(str(number)).days for number in range(300)]
    assert all(-4015 < shift <= -366 for shift in days)
    assert len(set(days)) > 250


def test_uids_of_the_standard_stay_and_others_become_valid_ones(pseudonyms: Pseudonyms) -> None:
    assert pseudonyms.uid("1.2.840.10008.5.1.4.1.1.4") == "1.2.840.10008.5.1.4.1.1.4"
    uid = pseudonyms.uid("1.3.12.2.1107.5.2.43.67060.1")
    assert re.fullmatch(r"2\.25\.[1-9]\d{0,38}", uid)
    assert len(uid) <= 64
    assert uid != pseudonyms.uid("1.3.12.2.1107.5.2.43.67060.2")


def test_two_sites_give_two_pseudonyms(tmp_path: Path) -> None:
    sites = [Pseudonyms.create(tmp_path / name) for name in ("a", "b")]
    assert sites[0].uid("1.2.3.4") != sites[1].uid("1.2.3.4")
    assert sites[0].subject("4711") != sites[1].subject("4711")
    assert sites[0].device("67060") != sites[1].device("67060")


def test_the_secret_is_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "key.yml"
    pseudonyms = Pseudonyms.create(path)
    secret = path.read_text(encoding="ascii").split("key: ")[1][:64]
    assert secret not in repr(pseudonyms)
    assert repr(bytes.fromhex(secret)) not in repr(pseudonyms)
