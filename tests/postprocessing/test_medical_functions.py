"""Functions that answer a medical question come back through the bridge as records that are found by value."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from linkahead.queries import count, query

from heartbrain_ingest.postprocessing.errors import UnavailableFunctionError
from tests.functions.test_freesurfer import STAND_IN
from tests.postprocessing.conftest import Bridged, facts, requests, status
from tests.postprocessing.test_asking import heartbrain


@pytest.mark.shared_data
def test_a_segmentation_is_found_by_the_volume_of_a_region(bridged: Bridged, shared_data: Path, tmp_path: Path) -> None:
    tables = shared_data / "freesurfer" / "fs7.0.0_soichi" / "stats"
    program = tmp_path / "installed" / "bin" / "recon-all"
    program.parent.mkdir(parents=True)
    program.write_text(STAND_IN.format(record=tmp_path / "record", stop=tmp_path / "stop", stats=tables))
    program.chmod(0o755)
    function = bridged.centre.home / "functions" / "freesurfer"
    (function / "place").write_text(f"{tmp_path / 'installed'}\n")
    bridged.centre.tick()
    with pytest.raises(UnavailableFunctionError, match="licence is missing"):
        bridged.request(function="freesurfer")

    (function / "license.txt").write_text("a licence\n")
    bridged.centre.tick()
    (name,) = bridged.request(function="freesurfer")
    bridged.until_settled(name)
    assert status(name) == ("finished", "Finished; the result is in LinkAhead.")
    (result,) = query("FIND FreeSurferSegmentation WITH Left_Hippocampus_volume > 4300 mm^3")
    assert query("FIND FreeSurferSegmentation WITH Left_Hippocampus_volume > 4400 mm^3") == []
    (found,) = query("FIND FreeSurferSegmentation WITH lh_entorhinal_thickness < 3.1 mm AND SurfaceHoles = 49")
    (image,) = query("FIND T1WeightedImage WHICH IS REFERENCED BY FreeSurferSegmentation")
    assert found.id == result.id
    assert facts(result)["Inputs"] == [image.id]
    assert facts(result)["IntracranialVolume"] == pytest.approx(1420.434160521)
    assert facts(requests(name)[0])["Results"] == [result.id]
    (row,) = query("FIND RegionMeasurement WITH atlas='aparc.a2009s' AND hemisphere=rh AND region='Pole_occipital'")
    assert facts(row)["Result"] == result.id
    assert count("COUNT RegionMeasurement WITH Result.Function.name=freesurfer") == 587
    code, said = heartbrain(bridged, "explain", name)
    assert code == 0
    assert "FreeSurferSegmentation" in said
    crate = tmp_path / "crate"
    assert heartbrain(bridged, "crate", name, str(crate))[0] == 0
    (table,) = crate.rglob("*_desc-regions_morph.tsv")
    assert len(table.read_text(encoding="utf-8").splitlines()) == 588


def test_the_function_that_has_no_python_of_its_own_uses_the_one_that_the_settings_name(bridged: Bridged) -> None:
    config = bridged.centre.home / "config.yml"
    config.write_text(config.read_text(encoding="utf-8") + "python: /nonexistent/python3\n", encoding="utf-8")
    bridged.centre.tick()
    with pytest.raises(UnavailableFunctionError, match="ended with status 127"):
        bridged.request(function="tissue-volumes")
    function = bridged.centre.home / "functions" / "tissue-volumes" / "function.yml"
    entry = yaml.safe_load(function.read_text(encoding="utf-8"))
    del entry["check"]
    function.write_text(yaml.safe_dump(entry), encoding="utf-8")
    bridged.centre.tick()
    (name,) = bridged.request(function="tissue-volumes")
    bridged.until_settled(name)
    assert status(name)[0] == "failed"
    (folder,) = bridged.results
    assert "/nonexistent/python3" in (folder / "logs" / "stderr.txt").read_text()
