"""FreeSurfer as a function: its tables value by value, its command line, and going on after a time limit."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import math
import re
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hpc_bridge.catalog import load_function
from hpc_bridge.plans import make_plan
from hpc_bridge.protocol import FileEntry, JobSpec, nonce
from hpc_bridge.protocol.keys import job_name

FUNCTION = Path(__file__).resolve().parents[2] / "hpc_bridge" / "functions" / "freesurfer"
NAME = "sub-K7Q2ABCD_ses-20230504"


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, FUNCTION / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


stats, records, segmentation = load("stats"), load("records"), load("segmentation")


@pytest.fixture(scope="session")
def tables(shared_data: Path) -> Path:
    return shared_data / "freesurfer" / "fs7.0.0_soichi" / "stats"


def numbers(text: str) -> list[float]:
    return [float(word) for word in re.findall(r"(?<![\w.])-?\d+\.?\d*(?:e[-+]\d+)?(?![\w.%])", text)]


@pytest.mark.shared_data
def test_every_number_of_every_row_of_every_table_is_read(tables: Path) -> None:
    rows = 0
    for path in sorted(tables.glob("*.stats")):
        cells = stats.read_table(path)
        if "curv" in path.name:
            continue
        found = {(cell.region, cell.quantity): cell.value for cell in cells}
        assert len(found) == len(cells)
        lines = path.read_text().splitlines()
        header = next((line.split()[2:] for line in lines if line.startswith("# ColHeaders")), [])
        for line in lines:
            if line.startswith("# Measure"):
                parts = line.split(", ")
                assert found["", parts[1]] == float(parts[-2])
            elif line and not line.startswith("#"):
                row = dict(zip(header, line.split(), strict=True))
                for name, word in row.items():
                    if name not in {"Index", "StructName"}:
                        value = found[row["StructName"], name]
                        assert (value is None and math.isnan(float(word))) or value == float(word)
                        rows += 1
    assert rows == 5168


@pytest.mark.shared_data
def test_the_report_on_curvature_is_read_line_by_line(tables: Path) -> None:
    for name in ("lh.curv.stats", "rh.curv.stats"):
        cells = stats.read_table(tables / name)
        found = {(cell.region, cell.quantity): (cell.value, cell.unit) for cell in cells}
        lines = [line for line in (tables / name).read_text().splitlines() if re.search(r":\s+-?\d", line)]
        # A line with a spread, a place or a part has a second number; the share in brackets follows from others.
        more = sum("+-" in line or "at vertex" in line or ("Integral" in line and "across" in line) for line in lines)
        assert len(cells) == len(found) == len(lines) + more
    cells = stats.read_table(tables / "lh.curv.stats")
    found = {(cell.region, cell.quantity): (cell.value, cell.unit) for cell in cells}
    assert found["Raw curv", "mean"] == (-0.02314, "")
    assert found["Raw sulc", "Max"] == (16.49734, "")
    assert found["K smoothwm", "std"] == (128.7805, "mm^-2")
    assert found["K smoothwm", "Total Surface Area"] == (80629.67188, "mm^2")
    assert found["BE smoothwm", "Mean Positive Surface Integral"] == (0.17644, "")
    assert found["", "Folding Index (FI)"] == (1392.60962, "")


@pytest.mark.shared_data
def test_columns_are_found_by_their_names_and_units_by_their_headers(tables: Path, tmp_path: Path) -> None:
    lines = (tables / "aseg.stats").read_text().splitlines()
    head, rows = [line for line in lines if line.startswith("#")], [line for line in lines if line[:1] not in {"#", ""}]
    names = next(line for line in head if line.startswith("# ColHeaders")).split()[2:]
    turned = tmp_path / "aseg.stats"
    text = [line for line in head if not line.startswith(("# ColHeaders", "# TableCol"))]
    text += [
        "# TableCol 9 ColHeader Volume_mm3",
        "# TableCol 9 Units mm^3",
        f"# ColHeaders {' '.join(names[::-1])} New",
    ]
    text += [f"{' '.join(row.split()[::-1])} 7" for row in rows]
    turned.write_text("\n".join(text) + "\n")
    before, after = (stats.to_values(stats.read_table(path)) for path in (tables / "aseg.stats", turned))
    assert before == after
    rows, more = (
        next(one for one in records.to_tables(stats.read_table(path)) if one.label == "regions").rows
        for path in (tables / "aseg.stats", turned)
    )
    assert more == [{**row, "New": 7.0} for row in rows]
    assert after["Left_Hippocampus_volume"] == (4333.5, "mm^3")
    assert after["Third_Ventricle_volume"] == (741.0, "mm^3")


@pytest.mark.shared_data
def test_numbers_have_names_that_a_question_can_hold(tables: Path) -> None:
    values = stats.to_values(stats.read_all(tables))
    assert all(re.fullmatch(r"[A-Za-z]\w*", name) for name in values)
    assert values["lh_bankssts_thickness"] == (2.144, "mm")
    assert values["rh_bankssts_area"] == (757.0, "mm^2")
    assert values["lh_MeanThickness"] == (2.39891, "mm")
    assert values["IntracranialVolume"] == (pytest.approx(1420.434160521), "mL")
    assert values["GreyMatterVolume"] == (pytest.approx(625.759696158), "mL")


STAND_IN = """#!/bin/sh
# Lays out a subject folder as recon-all does; ends early when told to.
echo "$@" >> "{record}"
while [ $# -gt 0 ]; do
  case "$1" in -subject) subject=$2;; -sd) sd=$2;; -i) image=$2;; -autorecon*) stage=$1;; esac; shift
done
[ -n "$image" ] && mkdir -p "$sd/$subject/mri/orig" && cp "$image" "$sd/$subject/mri/orig/001.mgz"
[ -d "$sd/$subject/mri/orig" ] || exit 1
[ -e "$sd/$subject/scripts/IsRunning.lh+rh" ] && exit 1
mkdir -p "$sd/$subject/scripts" && touch "$sd/$subject/scripts/IsRunning.lh+rh"
echo "#@# MotionCor" >> "$sd/$subject/scripts/recon-all-status.log"
if [ -e "{stop}" ] && [ "$(cat "{stop}")" = "$stage" ]; then rm "{stop}"; exit 137; fi
rm "$sd/$subject/scripts/IsRunning.lh+rh"
[ "$stage" = -autorecon3 ] || exit 0
cp -r "{stats}" "$sd/$subject/stats" && chmod -R u+w "$sd/$subject/stats"
echo segmented > "$sd/$subject/mri/aseg.mgz"
touch "$sd/$subject/scripts/recon-all.done"
"""


@pytest.fixture
def centre(tmp_path: Path, tables: Path) -> Callable[..., tuple[int, Path]]:
    """Give a stand-in for an installation, and the call of the function in it."""
    home, function = tmp_path / "freesurfer", tmp_path / "functions" / "freesurfer"
    (home / "bin").mkdir(parents=True)
    function.mkdir(parents=True)
    program = home / "bin" / "recon-all"
    program.write_text(STAND_IN.format(record=tmp_path / "record", stop=tmp_path / "stop", stats=tables))
    program.chmod(0o755)
    (function / "place").write_text(f"{home}\n")
    (function / "license.txt").write_text("a licence\n")
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / f"{NAME}_T1w.nii.gz").write_bytes(b"image")

    def call(attempt: str = "1") -> tuple[int, Path]:
        output, status = tmp_path / f"output-{attempt}", tmp_path / f"status-{attempt}"
        output.mkdir()
        status.mkdir()
        places = {"input": tmp_path / "input", "output": output, "status": status, "function": function}
        argv = ["--program", "freesurfer", "--keep", str(tmp_path / "keep"), "--cpus", "4"]
        (tmp_path / "keep").mkdir(exist_ok=True)
        return segmentation.main([*argv, *(w for n, p in places.items() for w in (f"--{n}", str(p)))]), output

    return call


@pytest.mark.shared_data
def test_a_segmentation_becomes_a_result_with_all_numbers_in_one_table(
    centre: Callable[..., tuple[int, Path]], tables: Path, tmp_path: Path
) -> None:
    code, output = centre()
    assert code == 0
    image = tmp_path / "input" / f"{NAME}_T1w.nii.gz"
    subjects = tmp_path / "keep" / "subjects"
    begun, *others = (tmp_path / "record").read_text().splitlines()
    assert begun == f"-subject {NAME} -sd {subjects} -autorecon1 -i {image} -parallel -openmp 4"
    assert others == [f"-subject {NAME} -sd {subjects} -autorecon{n} -parallel -openmp 4" for n in (2, 3)]
    result = json.loads((output / "result.json").read_text())
    values = {one["name"]: (one["value"], one.get("unit")) for one in result["Values"]}
    assert (result["ResultType"], values["Left_Hippocampus_volume"]) == ("FreeSurferSegmentation", (4333.5, "mm^3"))
    assert result["Details"]["Versions"]["freesurfer"] == "7.0.0"
    with (output / f"{NAME}_desc-all_morph.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) == len(stats.read_all(tables))
    assert {row["table"] for row in rows} >= {"aseg", "wmparc", "aparc", "aparc.a2009s", "aparc.DKTatlas", "curv"}
    paths = [one["path"] for one in result["Files"]]
    assert f"freesurfer/{NAME}/mri/aseg.mgz" in paths
    assert sum(path.endswith(".stats") for path in paths) == 19
    assert all((output / path).is_file() for path in paths)
    # Nothing of the computing centre: who ran it, on which machine, in which folder.
    text = "".join(path.read_text() for path in output.rglob("*.stats"))
    assert "hayashis" not in text
    assert "nid00762" not in text
    assert not (subjects / NAME).exists()


@pytest.mark.shared_data
def test_a_job_that_its_time_limit_ended_goes_on_where_it_stopped(
    centre: Callable[..., tuple[int, Path]], tmp_path: Path
) -> None:
    (tmp_path / "stop").write_text("-autorecon2")
    code, output = centre("1")
    assert (code, json.loads((output / "error.json").read_text())["code"]) == (3, "PROGRAM_FAILED")
    code, output = centre("2")
    assert code == 0
    ran = [re.findall(r"-autorecon\d|-i", line) for line in (tmp_path / "record").read_text().splitlines()]
    assert ran == [["-autorecon1", "-i"], ["-autorecon2"], ["-autorecon2"], ["-autorecon3"]]
    assert json.loads((output / "result.json").read_text())["Notes"][0]["code"] == "RESUMED"
    assert (tmp_path / "status-2" / "progress").read_text() == "1.000"


@pytest.mark.shared_data
def test_the_set_up_of_an_installation_is_read_before_its_program_starts(
    centre: Callable[..., tuple[int, Path]], tmp_path: Path
) -> None:
    home = tmp_path / "freesurfer"
    (home / "SetUpFreeSurfer.sh").write_text('export MNI_DIR="$FREESURFER_HOME/mni"\n')
    program = home / "bin" / "recon-all"
    told = f'#!/bin/sh\necho "$MNI_DIR $FS_LICENSE $SUBJECTS_DIR" > "{tmp_path / "told"}"\n'
    program.write_text(program.read_text().replace("#!/bin/sh\n", told, 1))
    assert centre()[0] == 0
    licence = tmp_path / "functions" / "freesurfer" / "license.txt"
    assert (tmp_path / "told").read_text() == f"{home}/mni {licence} {tmp_path}/keep/subjects\n"


def test_fastsurfer_finds_the_python_and_the_freesurfer_of_its_image(tmp_path: Path) -> None:
    found = segmentation.environment_of("fastsurfer", Path("/fastsurfer"), tmp_path / "license.txt", tmp_path)
    assert found["PATH"].startswith("/fastsurfer:/venv/bin:")
    assert found["SUBJECTS_DIR"] == str(tmp_path)


@pytest.mark.shared_data
@pytest.mark.parametrize(("missing", "code"), [("license.txt", "NO_LICENCE"), ("place", "NOT_INSTALLED")])
def test_what_is_missing_at_the_centre_is_said_in_plain_words(
    centre: Callable[..., tuple[int, Path]], tmp_path: Path, missing: str, code: str
) -> None:
    (tmp_path / "functions" / "freesurfer" / missing).unlink()
    status, output = centre()
    problem = json.loads((output / "error.json").read_text())
    assert (status, problem["code"]) == (3, code)
    assert f"functions/freesurfer/{missing}" in problem["message"]


def test_fastsurfer_is_called_by_its_own_command_line(tmp_path: Path) -> None:
    words = segmentation.command_of(
        "fastsurfer",
        Path("/fastsurfer"),
        image=tmp_path / "a_T1w.nii.gz",
        subject="a",
        subjects=tmp_path,
        cpus=2,
        licence=tmp_path / "license.txt",
        stage="-all",
    )
    assert words[:5] == ["/fastsurfer/run_fastsurfer.sh", "--t1", str(tmp_path / "a_T1w.nii.gz"), "--sid", "a"]
    assert words[words.index("--fs_license") + 1] == str(tmp_path / "license.txt")
    for name in ("stats.py", "segmentation.py"):
        assert (FUNCTION.parent / "fastsurfer" / name).read_bytes() == (FUNCTION / name).read_bytes()


def test_in_a_container_the_command_line_is_this(tmp_path: Path) -> None:
    folder = tmp_path / "freesurfer"
    shutil.copytree(FUNCTION, folder)
    (folder / "freesurfer.sif").write_bytes(b"an image")
    entry = folder / "function.yml"
    container = f"  runtime: apptainer\n  image: freesurfer.sif\n  sha256: {hashlib.sha256(b'an image').hexdigest()}\n"
    entry.write_text(entry.read_text(encoding="utf-8").replace("  runtime: none\n", container), encoding="utf-8")
    now = datetime(2026, 6, 1, tzinfo=UTC)
    spec = JobSpec(
        job=job_name("site", "R-1", 1),
        function="freesurfer",
        version="1.0.0",
        inputs=(FileEntry(name=f"{NAME}_T1w.nii.gz", size=1, sha256="0" * 64),),
        created=now,
        expires=now + timedelta(hours=1),
        nonce=nonce(),
    )
    attempt, inputs, keep = tmp_path / "attempt", tmp_path / "in", tmp_path / "kept"
    attempt.mkdir()
    function = load_function(folder)
    plan = make_plan(
        spec, function, {}, folder=attempt, inputs=inputs, isolation="required", most=1 << 40, python="", keep=keep
    )
    words = ["".join(piece.get("text", "<" + piece.get("path", "") + ">") for piece in item) for item in plan["argv"]]
    program = words.index(str(folder / "freesurfer.sif")) + 1
    assert words[:3] == ["apptainer", "exec", "--containall"]
    assert [words[at + 1] for at, word in enumerate(words[:program]) if word == "--bind"] == [
        f"{inputs}:/input:ro",
        "<output>:/output:rw",
        f"{attempt}:/work:ro",
        f"{folder}:/mnt/0:ro",
        "<status>:/mnt/1:rw",
        f"{keep}:/mnt/2:rw",
    ]
    assert words[program:] == [
        *("python3", "/mnt/0/segmentation.py", "--program", "freesurfer", "--input", "/input", "--output", "/output"),
        *("--status", "/mnt/1", "--function", "/mnt/0", "--keep", "/mnt/2", "--cpus", "4"),
    ]
    assert keep.is_dir()
    assert (plan["minutes"], plan["network"]) == (720, False)


@pytest.mark.shared_data
def test_each_number_stands_in_one_row_of_one_table(tables: Path) -> None:
    cells = stats.read_all(tables)
    found = {table.label: table for table in records.to_tables(cells)}
    assert {label: len(table.rows) for label, table in found.items()} == {
        "regions": 587,
        "totals": 17,
        "curvature": 4,
        "curvaturePerMm": 6,
        "curvaturePerMm2": 10,
    }
    values = sum(len(row.keys() - set(table.key)) for table in found.values() for row in table.rows)
    assert values == sum(cell.value is not None for cell in cells)
    for table in found.values():
        identities = {tuple(row.get(name) for name in table.key) for row in table.rows}
        assert len(identities) == len(table.rows)
    (row,) = (row for row in found["regions"].rows if row["region"] == "wm-lh-bankssts")
    assert (row["atlas"], row["hemisphere"], row["volume"]) == ("wmparc", "lh", 2512.0)


def test_a_number_in_another_unit_than_its_column_gets_a_column_of_its_own() -> None:
    cells = [stats.Cell(table, "lh", "insula", "GrayVol", 2.0, unit) for table, unit in (("a", "mm^3"), ("b", "mL"))]
    (table,) = records.to_tables([*cells, stats.Cell("c", "lh", "insula", "GrayVol", 3.0, "")])
    assert [set(row) - set(table.key) for row in table.rows] == [
        {"volume"},
        {"volume_in_mL"},
        {"volume_in_no_unit"},
    ]
    assert table.units == {"volume": "mm^3", "volume_in_mL": "mL", "volume_in_no_unit": ""}


def test_two_rows_of_one_name_are_two_records() -> None:
    cells = [
        stats.Cell("aseg", "", "Unknown", name, value, "")
        for name, value in (("SegId", 1.0), ("NVoxels", 2.0), ("SegId", 3.0), ("NVoxels", 4.0))
    ]
    (table,) = records.to_tables(cells)
    assert [(row["region"], row["segment_number"], row["voxels"]) for row in table.rows] == [
        ("Unknown", 1.0, 2.0),
        ("Unknown 2", 3.0, 4.0),
    ]


@pytest.mark.shared_data
def test_a_table_of_another_form_costs_nothing_but_itself(
    centre: Callable[..., tuple[int, Path]], tables: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "stats"
    shutil.copytree(tables, copy)
    copy.chmod(0o755)
    (copy / "future.stats").write_text("# ColHeaders StructName NumVert\nhere 1 2 3\n")
    program = tmp_path / "freesurfer" / "bin" / "recon-all"
    program.write_text(program.read_text().replace(str(tables), str(copy)))
    code, output = centre()
    assert code == 0
    result = json.loads((output / "result.json").read_text())
    assert [(one["code"], "future.stats" in one["text"]) for one in result["Notes"]] == [("UNREAD_TABLE", True)]
    assert f"freesurfer/{NAME}/stats/future.stats" in {one["path"] for one in result["Files"]}
    assert {one["name"] for one in result["Values"]} >= {"eTIV", "Left_Hippocampus_volume"}
