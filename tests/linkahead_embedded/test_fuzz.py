from __future__ import annotations

from pathlib import Path

from tests.linkahead_embedded.fuzzing import fuzz


def test_whatever_arrives_is_answered_and_the_database_stays_sound(tmp_path: Path) -> None:
    rounds = iter([True, False])
    statuses = fuzz(tmp_path, 150, lambda: next(rounds))
    assert statuses[200] > 20
    assert sum(statuses.values()) >= 100
