"""Several users, each with a bucket and an agent: nobody's request reaches another's."""

from __future__ import annotations

from pathlib import Path

import pytest
from linkahead.queries import query

from heartbrain_ingest.postprocessing import bridge, registration
from heartbrain_ingest.postprocessing.errors import BridgeSettingsError
from heartbrain_ingest.postprocessing.transports.bucket import BucketTransport
from heartbrain_ingest.postprocessing.users import Users
from heartbrain_ingest.settings import Settings, load_settings
from hpc_bridge.errors import BucketError
from linkahead_embedded.accounts import set_account
from linkahead_embedded.bootstrap import open_application
from tests.postprocessing.conftest import Bridged, Centre, facts, make_centre, requests, status

SETTINGS = """
bridge:
  routes:
    - {name: ada, users: [ada], bucket: {kind: folder, folder: bucket-ada}}
    - {name: bob, users: [bob], bucket: {kind: folder, folder: bucket-bob}}
"""


def two_centres(bridged: Bridged, tmp_path: Path) -> tuple[Settings, dict[str, Centre]]:
    path = bridged.folder / "heartbrain.yml"
    path.write_text(SETTINGS, encoding="utf-8")
    settings = load_settings(path)
    names = ("ada", "bob")
    return settings, {
        name: make_centre(tmp_path / f"hpc-{name}", settings, name, bridged.folder / f"bucket-{name}") for name in names
    }


def ask(settings: Settings, user: str) -> str:
    plan = registration.preflight(
        settings,
        catalogue=registration.read_catalogue(settings, user),
        function="checksum-report",
        inputs=registration.find_inputs("FIND T1WeightedImage"),
        again=True,
    )
    (name,) = registration.register(plan, user=user)
    return name


def test_two_users_and_two_agents_share_a_site_and_nothing_else(bridged: Bridged, tmp_path: Path) -> None:
    settings, centres = two_centres(bridged, tmp_path)
    names = {user: ask(settings, user) for user in centres}
    for _ in range(40):
        report = bridge.Site(settings).exchange()
        assert report.troubles == []
        for centre in centres.values():
            assert centre.tick() == []
        if all(status(name)[0] == "finished" for name in names.values()):
            break
    for user, name in names.items():
        job = facts(requests(name)[0])["Job"]
        assert [path.name for path in (bridged.folder / f"bucket-{user}" / "jobs").iterdir()] == [job]
        manifest = next((bridged.folder / f"bucket-{user}").glob("jobs/*/output/manifest.json")).read_text()
        assert f"cluster-{user}" in manifest
    assert len(query("FIND AnalysisResult")) == 2


def test_whoever_edits_a_record_cannot_move_it_to_another_users_bucket(bridged: Bridged, tmp_path: Path) -> None:
    settings, _centres = two_centres(bridged, tmp_path)
    name = ask(settings, "ada")
    bridge.Site(settings).exchange()
    (record,) = requests(name)
    record.get_property("SubmittedBy").value = "bob"
    record.update()
    bridge.Site(settings).exchange()
    assert not (bridged.folder / "bucket-bob" / "jobs").exists()
    assert list((bridged.folder / "bucket-ada" / "jobs").iterdir())


def test_a_user_whom_no_route_serves_is_told_so(bridged: Bridged, tmp_path: Path) -> None:
    settings, _centres = two_centres(bridged, tmp_path)
    with pytest.raises(BridgeSettingsError, match="no route serves eve"):
        registration.read_catalogue(settings, "eve")


def test_one_bucket_that_does_not_work_does_not_stop_the_others(
    bridged: Bridged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, _centres = two_centres(bridged, tmp_path)
    name = ask(settings, "bob")
    original = BucketTransport.catalogue

    def failing(self: BucketTransport) -> list[object]:
        if self._bucket.root.name == "bucket-ada":  # type: ignore[attr-defined]
            raise BucketError("the disk is gone")
        return list(original(self))

    monkeypatch.setattr(BucketTransport, "catalogue", failing)
    report = bridge.Site(settings).exchange()
    assert (report.sent, len(report.troubles)) == (1, 1)
    assert report.troubles[0].startswith("ada: ")
    assert status(name)[0] == "sent"


GROUPS = """
bridge:
  routes:
    - {name: research, groups: [researcher], bucket: {kind: folder, folder: bucket-ada}}
    - {name: ward, users: [leo], bucket: {kind: folder, folder: bucket-bob}}
"""


def test_a_group_is_a_role_of_linkahead(bridged: Bridged) -> None:
    application = open_application(bridged.settings.database)
    for name, role in (("clara", "researcher"), ("leo", "readonly"), ("mia", "readonly")):
        set_account(application, name, "a long password", role)
    path = bridged.folder / "heartbrain.yml"
    path.write_text(GROUPS, encoding="utf-8")
    users = Users(load_settings(path).bridge.routes)
    assert [users.route_of(name) for name in ("clara", "leo", "mia", "nobody")] == ["research", "ward", None, None]


def test_a_request_of_a_group_goes_to_the_groups_bucket(bridged: Bridged) -> None:
    application = open_application(bridged.settings.database)
    set_account(application, "clara", "a long password", "researcher")
    path = bridged.folder / "heartbrain.yml"
    path.write_text(GROUPS, encoding="utf-8")
    settings = load_settings(path)
    centre = make_centre(bridged.folder.parent / "hpc-research", settings, "research", bridged.folder / "bucket-ada")
    centre.tick()
    name = ask(settings, "clara")
    report = bridge.Site(settings).exchange()
    assert report.sent == 1
    job = facts(requests(name)[0])["Job"]
    assert [one.name for one in (bridged.folder / "bucket-ada" / "jobs").iterdir()] == [job]
    with pytest.raises(BridgeSettingsError, match="no route serves mia"):
        registration.read_catalogue(settings, "mia")
