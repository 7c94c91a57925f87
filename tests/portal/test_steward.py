"""The steward's page: what it shows, and what can be decided on it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from heartbrain_ingest.portal.app import DIARY
from heartbrain_ingest.quarantine import listed
from heartbrain_ingest.runs import last_runs
from heartbrain_ingest.settings import load_settings
from heartbrain_ingest.site import make_site
from linkahead_embedded.accounts import set_account
from linkahead_embedded.bootstrap import open_application
from tests.portal.site import PASSWORD, PROGRAM, SampleSite, Visit


def _ingest(site: SampleSite) -> None:
    done = subprocess.run([PROGRAM, "ingest", "--settings", site.file], check=False, capture_output=True)
    assert done.returncode in {0, 1}, done.stderr.decode()


@pytest.fixture(scope="module")
def site(sample_site: SampleSite) -> SampleSite:
    """Give a site with two files in quarantine: one that is empty, one that is cut off."""
    inbox = sample_site.settings.folders.inbox
    (inbox / "Erika_Mustermann.dcm").touch()
    whole = next(path for path in sorted((sample_site.root / "study" / "inbox").rglob("*.dcm")))
    (inbox / "cut.dcm").write_bytes(whole.read_bytes()[:400])
    (inbox / ".complete").touch()
    _ingest(sample_site)
    codes = {group.code for group in listed(sample_site.settings)}
    assert "EMPTY_FILE" in codes
    sample_site.centre.tick()
    return sample_site


@pytest.fixture(scope="module")
def stefan(site: SampleSite) -> Visit:
    return Visit(site.settings).log_in("stefan")


def test_only_a_steward_sees_the_page_or_its_link(stefan: Visit, clara: Visit) -> None:
    assert clara.get("/steward").status_code == 403
    assert 'href="/steward"' not in clara.get("/nowhere").text
    assert clara.post("/steward/quarantine", action="discard", files="1", reason="not mine").status_code == 403
    assert 'href="/steward"' in stefan.get("/steward").text


def test_the_page_shows_the_last_runs_and_a_sum_that_is_the_ledgers(stefan: Visit, site: SampleSite) -> None:
    page = stefan.get("/steward", headers={"accept-language": "en"}).text
    runs = last_runs(site.settings)
    assert runs[0].exit_code == 1
    assert page.count("all good</span>") + page.count("wants a look</span>") == len(runs)
    status = json.loads(
        subprocess.run(
            [PROGRAM, "status", "--json", "--settings", site.file], check=True, capture_output=True, text=True
        ).stdout
    )
    total = sum(status["files"].values())
    assert f"<strong>{total:,}</strong>" in page


def test_the_agent_of_the_centre_is_heard_of(stefan: Visit) -> None:
    page = stefan.get("/steward", headers={"accept-language": "en"}).text
    assert '<span class="badge good">at work</span>' in page


def test_file_names_show_only_when_asked_for(stefan: Visit, site: SampleSite) -> None:
    assert "Mustermann" not in stefan.get("/steward").text
    assert "Erika_Mustermann.dcm" in stefan.get("/steward?files=1").text
    lines = (site.settings.folders.logs / DIARY).read_text(encoding="utf-8").splitlines()
    assert any(json.loads(line)["action"] == "look at file names in quarantine" for line in lines)


def test_leaving_a_file_aside_needs_a_reason_and_is_written_down(stefan: Visit, site: SampleSite) -> None:
    (group,) = [one for one in listed(site.settings) if one.code == "EMPTY_FILE"]
    files = ",".join(map(str, group.files))
    stefan.post("/steward/quarantine", action="discard", files=files, reason="no")
    assert 'class="notice bad"' in stefan.get("/steward").text
    assert group in listed(site.settings)
    stefan.post("/steward/quarantine", action="discard", files=files, reason="the transfer broke off")
    assert "Files left aside for good: 1." in stefan.get("/steward").text
    assert "EMPTY_FILE" not in {one.code for one in listed(site.settings)}
    assert "Files left aside" not in stefan.get("/steward").text
    lines = (site.settings.folders.logs / DIARY).read_text(encoding="utf-8").splitlines()
    (written,) = [json.loads(line) for line in lines if json.loads(line)["action"] == "discard"]
    assert (written["user"], written["files"], written["codes"]) == ("stefan", list(group.files), ["EMPTY_FILE"])


def test_what_is_released_is_looked_at_again_by_the_next_run(stefan: Visit, site: SampleSite) -> None:
    (group,) = listed(site.settings)
    answer = stefan.post("/steward/quarantine", action="release", files=",".join(map(str, group.files)), reason="")
    assert answer.status_code == 303
    assert listed(site.settings) == []
    _ingest(site)
    assert [one.code for one in listed(site.settings)] == [group.code]


def test_who_is_no_steward_any_more_sees_the_page_no_longer(site: SampleSite) -> None:
    application = open_application(site.settings.database)
    set_account(application, "greta", PASSWORD, "administration")
    greta = Visit(site.settings).log_in("greta")
    assert greta.get("/steward").status_code == 200
    with application.database.write() as connection:
        connection.execute("UPDATE user_role SET role = 'readonly' WHERE user = 'greta'")
    refused = greta.post("/steward/quarantine", action="discard", files="1", reason="not mine any more")
    assert refused.status_code == 403
    assert greta.get("/steward?files=1").status_code == 403


@pytest.mark.parametrize("form", [{"action": "delete", "files": "1"}, {"action": "release", "files": "x"}, {}])
def test_a_form_that_is_none_of_ours_changes_nothing(stefan: Visit, form: dict[str, str]) -> None:
    assert stefan.post("/steward/quarantine", **form).status_code == 400


def test_a_site_without_runs_and_centre_has_a_page(tmp_path: Path) -> None:
    settings = load_settings(make_site(tmp_path / "site"))
    name, password = (settings.folders.state / "first-login.txt").read_text(encoding="ascii").split()
    page = Visit(settings).log_in(name, password).get("/steward", headers={"accept-language": "en"})
    assert page.status_code == 200
    assert "There was no run yet." in page.text
    assert "No computing centre is connected." in page.text
