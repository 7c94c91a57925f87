"""Who gets in, and what every answer carries."""

from __future__ import annotations

import json
import re
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from heartbrain_ingest.portal.app import DIARY
from tests.portal.site import SampleSite, Visit


@pytest.fixture
def stranger(sample_site: SampleSite) -> Visit:
    return Visit(sample_site.settings)


@pytest.mark.parametrize("path", ["/", "/requests", "/steward", "/nowhere"])
def test_nobody_sees_a_page_before_the_log_in_and_comes_back_to_it_after(stranger: Visit, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login")


def test_the_log_in_is_linkaheads_and_leads_where_the_visitor_wanted_to_go(stranger: Visit) -> None:
    stranger.get("/login")
    answer = stranger.post("/login", name="clara", password="correct horse battery", to="/requests?page=2")
    assert (answer.status_code, answer.headers["location"]) == (303, "/requests?page=2")


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_the_log_in_leads_nowhere_else(stranger: Visit, target: str) -> None:
    stranger.get("/login")
    answer = stranger.post("/login", name="clara", password="correct horse battery", to=target)
    assert answer.headers["location"] == "/"


def test_the_cookie_is_for_this_portal_alone_and_new_after_the_log_in(stranger: Visit) -> None:
    before = stranger.get("/login").headers["set-cookie"]
    after = stranger.post("/login", name="clara", password="correct horse battery").headers["set-cookie"]
    assert before.partition("=")[2].split(";")[0] != after.partition("=")[2].split(";")[0]
    assert (before.partition("=")[0], after.partition("=")[0]) == ("heartbrain-door", "heartbrain")
    for cookie in (before, after):
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))


def test_a_link_from_elsewhere_neither_ends_the_session_nor_loses_the_page(stranger: Visit) -> None:
    stranger.log_in("clara")
    cookie = stranger.client.cookies["heartbrain"]
    # A browser that follows a link from another site sends no cookie of ours.
    stranger.client.cookies.clear()
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    answer = stranger.client.get("/requests", headers=headers)
    assert answer.status_code == 200
    assert '<meta http-equiv="refresh" content="0">' in answer.text
    assert "heartbrain=" not in answer.headers.get("set-cookie", "")
    again = stranger.client.get(
        "/requests",
        headers={"sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate", "cookie": f"heartbrain={cookie}"},
    )
    assert "clara" in again.text


def test_nobody_loses_a_session_by_opening_the_door_once_more(stranger: Visit) -> None:
    stranger.log_in("clara")
    assert "set-cookie" not in stranger.get("/login").headers
    assert stranger.get("/requests").status_code == 200


@pytest.mark.parametrize("target", ["//[", "/\0", "http://[::1"])
def test_an_impossible_address_leads_to_the_first_page(stranger: Visit, target: str) -> None:
    assert stranger.get("/login", params={"to": target}).status_code == 200


def test_the_next_user_of_a_browser_sees_nothing_of_the_last(clara: Visit, stranger: Visit) -> None:
    assert '"historyCacheSize": 0' in clara.get("/").text
    stranger.log_in("leo")
    assert stranger.post("/logout").headers["clear-site-data"] == '"cache", "storage"'


def test_a_language_is_chosen_without_losing_the_page(clara: Visit) -> None:
    page = clara.get("/?query=COUNT+MRImage").text
    assert 'name="to" value="/?query=COUNT+MRImage"' in page


def test_behind_tls_the_cookie_is_sent_by_https_only(sample_site: SampleSite) -> None:
    settings = sample_site.settings
    settings = settings.model_copy(update={"portal": settings.portal.model_copy(update={"behind_tls": True})})
    answer = Visit(settings).get("/login")
    assert "Secure" in answer.headers["set-cookie"].split("; ")
    assert answer.headers["strict-transport-security"].startswith("max-age=")


def test_a_wrong_password_is_refused_and_after_some_one_has_to_wait(stranger: Visit) -> None:
    stranger.get("/login")
    codes = [stranger.post("/login", name="clara", password=f"guess {number}").status_code for number in range(6)]
    assert codes == [401, 401, 401, 401, 401, 429]
    answer = stranger.post("/login", name="clara", password="correct horse battery")
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 60


def test_many_guesses_at_the_same_time_are_no_more_guesses(sample_site: SampleSite) -> None:
    visits = [Visit(sample_site.settings)] * 40
    visits[0].get("/login")
    with ThreadPoolExecutor(20) as pool:
        codes = list(pool.map(lambda one: one.post("/login", name="leo", password="guess").status_code, visits))
    assert codes.count(401) == 5
    assert codes.count(429) == 35


def test_a_log_in_that_succeeds_is_no_failure(stranger: Visit) -> None:
    for _ in range(8):
        stranger.log_in("clara")


def test_a_change_needs_the_token_of_our_own_page(stranger: Visit) -> None:
    stranger.log_in("clara")
    assert stranger.client.post("/logout").status_code == 403
    assert stranger.client.post("/logout", data={"csrf": "0" * 64}).status_code == 403
    foreign = {"origin": "https://evil.example"}
    page = stranger.get("/requests").text
    token = re.search(r'X-CSRF-Token": "(\w+)"', page)
    assert token is not None
    assert stranger.client.post("/logout", data={"csrf": token[1]}, headers=foreign).status_code == 403
    assert stranger.client.post("/logout", headers={"x-csrf-token": token[1]}).status_code == 303


def test_after_the_log_out_the_cookie_opens_nothing(stranger: Visit) -> None:
    stranger.log_in("clara")
    cookie = stranger.client.cookies["heartbrain"]
    stranger.post("/logout")
    assert stranger.client.get("/requests", headers={"cookie": f"heartbrain={cookie}"}).status_code == 303


def test_no_page_runs_a_script_that_is_not_a_file_of_ours(clara: Visit) -> None:
    answer = clara.get("/requests")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    for script in re.findall(r"<script[^>]*>", answer.text):
        assert re.search(r'src="/static/', script)
    assert not re.search(r"\son\w+=|style=", answer.text)
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_unknown_page_is_said_to_be_one_in_the_visitors_language(clara: Visit) -> None:
    english = clara.get("/nowhere", headers={"accept-language": "en"})
    german = clara.get("/nowhere", headers={"accept-language": "de-CH, en;q=0.5"})
    assert (english.status_code, german.status_code) == (404, 404)
    assert "There is no such page" in english.text
    assert "Diese Seite gibt es nicht" in german.text
    assert '<html lang="de">' in german.text


def test_the_diary_names_who_came_and_went_and_is_for_the_steward_alone(
    stranger: Visit, sample_site: SampleSite
) -> None:
    stranger.log_in("clara")
    stranger.post("/logout")
    file = sample_site.settings.folders.logs / DIARY
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [(line["user"], line["action"]) for line in lines[-2:]] == [("clara", "log in"), ("clara", "log out")]


def test_files_of_the_portal_travel_packed_and_pages_do_not(clara: Visit) -> None:
    page = clara.get("/", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in page.headers
    script = re.search(r'src="(/static/[^"]+)"', page.text)
    assert script is not None
    packed = clara.get(script[1], headers={"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["cache-control"] == "public, max-age=31536000"
