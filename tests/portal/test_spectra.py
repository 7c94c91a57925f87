"""The page of a spectroscopy series: its drawing and its numbers, and no viewer of planes that it has not."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from heartbrain_ingest.pipeline import Run
from heartbrain_ingest.report import RunOptions
from linkahead_embedded.bootstrap import close_application
from tests.pipeline import spectra
from tests.pipeline.scans import write
from tests.portal.looking import only
from tests.portal.site import SampleSite, Visit


@pytest.fixture(scope="module")
def visit(sample_site: SampleSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    """Give the browser of a clinician at a site that took in a spectrum."""
    inbox = tmp_path_factory.mktemp("spectra")
    write(spectra.make_siemens(), inbox / "svs.ima")
    assert Run(sample_site.settings, RunOptions(inbox=inbox, jobs=1)).execute().exit_code == 0
    yield Visit(sample_site.settings).log_in("clara")
    close_application(sample_site.settings.database)


def test_a_spectrum_is_drawn_and_described_but_not_offered_as_an_image(visit: Visit) -> None:
    record = only(visit, "FIND RECORD SpectroscopyImage")
    page = visit.get(f"/record/{record.id}").text
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert re.search(r"SpectralWidth 1,200 Hz ", words)
    assert "NumberOfSpectralPoints 512" in words
    assert "ResonantNucleus 1H" in words
    assert "drawing of the strongest spectrum" in words
    assert "patient&#39;s left" not in page
    assert "data-viewer" not in page
    drawing = re.search(r'src="/thumbnail/(\d+)"', page)
    assert drawing is not None
    picture = visit.get(f"/thumbnail/{drawing[1]}")
    assert picture.headers["content-type"].startswith("image/svg+xml")
    assert "ppm" in picture.text
