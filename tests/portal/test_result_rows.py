"""The page of a segmentation: hundreds of regions that nobody has to scroll past."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from heartbrain_ingest import crawl
from tests.functions.test_freesurfer import segmentation
from tests.portal.looking import as_steward, only
from tests.portal.site import SampleSite, Visit

NAME = "2026-06-01_freesurfer_R-0123456789ab"


@pytest.fixture(scope="module")
def segmented(clara: Visit, sample_site: SampleSite, shared_data: Path, project_root: Path) -> Any:
    """Give the record of a segmentation, made of real tables and crawled as any result is."""
    image = only(clara, "FIND RECORD TissueVolumes")
    archive = sample_site.settings.folders.archive
    (made,) = archive.glob(f"DataAnalysis/*/{image.name}")
    subject = sample_site.root / "subject"
    subject.mkdir()
    (subject / "stats").symlink_to(shared_data / "freesurfer" / "fs7.0.0_soichi" / "stats")
    folder = made.with_name(NAME)
    folder.mkdir()
    inputs = json.loads((made / "result.json").read_text(encoding="utf-8"))["Inputs"]
    segmentation.write_result(folder, program="freesurfer", image=Path(inputs[0]), subject=subject, resumed=False)
    content = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    (folder / "result.json").write_text(json.dumps({**content, "Inputs": inputs}), encoding="utf-8")
    rules = project_root / "crawler_config"
    with as_steward(clara):
        crawl.load_datamodel(rules / "datamodel.yml")
        crawl.crawl_delivery(
            folder, archive=archive, cfood=rules / "cfood.yml", identifiables=rules / "identifiables.yml"
        )
    return only(clara, f"FIND RECORD FreeSurferSegmentation WITH name='{NAME}'")


@pytest.mark.shared_data
def test_the_regions_are_folded_and_the_whole_list_is_a_search_by_pages(clara: Visit, segmented: Any) -> None:
    page = clara.get(f"/record/{segmented.id}", headers={"accept-language": "de"}).text
    regions = page[page.index(">Regionen ") : page.index(">Alle Zeilen seiner Tabellen ")]
    assert regions.startswith('>Regionen <span class="soft small">587</span>')
    assert regions.index("<details>") < regions.index("<table>")
    assert regions.count("<tr>") == 1 + 100
    assert re.search(r"Left-Hippocampus</a></td><td[^>]*>aseg</td><td>links</td>\s*<td[^>]*>4\.33\d</td>", regions)
    more = re.search(r'href="(/\?query=[^"]+)">Alle 587<', regions)
    assert more is not None
    found = clara.get(more[1].replace("&amp;", "&")).text
    assert "587" in found
    assert len(page) < 400_000


@pytest.mark.shared_data
def test_a_region_has_a_page_with_units_and_leads_to_its_result(clara: Visit, segmented: Any) -> None:
    row = only(clara, "FIND RECORD RegionMeasurement WITH region='G_cingul-Post-dorsal' AND hemisphere=lh")
    page = clara.get(f"/record/{row.id}", headers={"accept-language": "en"}).text
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert "mean_thickness 2.797 mm " in words
    assert "volume 1,498 mm³ " in words
    assert f'href="/record/{segmented.id}"' in page
