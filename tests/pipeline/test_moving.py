"""The sample study moves from one LinkAhead to another, through the official client alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.pipeline.conftest import TakenIn
from tests.pipeline.site import PROGRAM

#: Describes a whole database by names, paths and values, so that ids do not matter. In a process of its own, because
#: the client keeps one connection for a process.
DESCRIBE = """
import json, sys
import linkahead as db
import linkahead_embedded
linkahead_embedded.connect(sys.argv[1], file_root=sys.argv[2])
entities = [one for one in db.execute_query("FIND ENTITY") if one.id >= 100]
names = {one.id: f"{type(one).__name__} {one.path or one.name}" for one in entities}
def shown(value):
    if isinstance(value, list):
        return [shown(one) for one in value]
    return names.get(value, str(value)) if isinstance(value, int) else str(value)
print(json.dumps(sorted(
    [names[one.id], one.description, str(one.datatype), one.unit, getattr(one, "checksum", None),
     [names[parent.id] for parent in one.parents],
     [[prop.name, str(prop.datatype), prop.unit, one.get_importance(prop.name),
       shown(prop.value) if "LIST" in str(prop.datatype) or not str(prop.datatype).isupper() or
       str(prop.datatype) in ("FILE", "REFERENCE") else str(prop.value)] for prop in one.properties]]
    for one in entities)))
"""


def run(*command: str, folder: Path) -> str:
    variables = {**os.environ, "HOME": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, env=variables, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def described(database: Path, archive: Path, folder: Path) -> list[Any]:
    return json.loads(run(sys.executable, "-c", DESCRIBE, str(database), str(archive), folder=folder))  # type: ignore[no-any-return]


def test_the_sample_study_moves_with_references_intact_and_files_in_place(sample: TakenIn, tmp_path: Path) -> None:
    archive = sample.site.folder / "archive"
    old, new = sample.site.folder / "state" / "linkahead.db", tmp_path / "new.db"
    settings = ("--settings", str(sample.site.settings))
    run(str(PROGRAM), "linkahead", "export", str(tmp_path / "moved"), *settings, folder=tmp_path)
    place = ("--database", str(new), "--file-root", str(archive))
    printed = run(str(PROGRAM), "linkahead", "import", str(tmp_path / "moved"), *place, folder=tmp_path)
    before = described(old, archive, tmp_path)
    assert printed == f"{len(before)} inserted, 0 there before, 0 by an earlier import\n"
    assert described(new, archive, tmp_path) == before
    assert len(before) > 300
    backup = run(str(PROGRAM), "linkahead", "backup", str(tmp_path / "copy.db"), *settings, folder=tmp_path)
    assert backup == f"{tmp_path / 'copy.db'}: {len(before)} entities, 0 uploaded files; the copy is sound\n"
