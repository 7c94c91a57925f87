"""What a page costs with ten thousand records; texts that mean harm; records that only one visitor may see."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from lxml import etree

from heartbrain_ingest.crawl.client import db
from heartbrain_ingest.portal.found import MOST_SORTED
from heartbrain_ingest.portal.groups import MOST_IN_GROUP
from heartbrain_ingest.portal.visitors import Visitor, acting_as
from linkahead_embedded.bootstrap import close_application
from tests.portal.many import GeneratedSite, Watch, watch
from tests.portal.site import Visit
from tests.portal.test_search import ask, ids_of, names, status

HUNDRED, TEN_THOUSAND = "FIND T2WeightedImage", "FIND T1WeightedImage"
SCRIPT = "<script>alert('x')</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GeneratedSite]:
    generated = GeneratedSite(tmp_path_factory.mktemp("many") / "site")
    visits = generated.insert_visits()
    generated.insert_images(100, visits, "T2WeightedImage")
    generated.insert_images(10_000, visits, "T1WeightedImage")
    yield generated
    close_application(generated.settings.database)


@pytest.fixture(scope="module")
def carl(site: GeneratedSite) -> Visit:
    return Visit(site.settings).log_in("clara")


@pytest.fixture
def watched(carl: Visit) -> Watch:
    """Give a watch on a portal that knows nothing yet but the data model."""
    carl.get("/")
    fresh(carl)
    carl.get("/")
    watching = watch()
    watching.take()
    return watching


def visitor(visit: Visit) -> Visitor:
    found: Visitor | None = visit.client.app.state.visitors.find(visit.client.cookies["heartbrain"])  # type: ignore[attr-defined]
    assert found is not None
    return found


def fresh(visit: Visit) -> None:
    """Let a visitor's cache forget all."""
    visitor(visit).cache.clear()


def cost(carl: Visit, watched: Watch, query: str, more: str) -> tuple[int, int]:
    """Give the requests and entities that a page asks for, the second time it is opened."""
    ask(carl, query, more)
    watched.take()
    ask(carl, query, more)
    return watched.take()


@pytest.mark.parametrize(
    "more", ["", "&page=2", "&sort=-id", "&sort=EchoTime", "&sort=-Session.Age&page=2", "&size=25"]
)
def test_a_page_costs_no_more_with_ten_thousand_records_than_with_a_hundred(
    carl: Visit, watched: Watch, more: str
) -> None:
    few, many = cost(carl, watched, HUNDRED, more), cost(carl, watched, TEN_THOUSAND, more)
    assert many[0] == few[0] <= 3
    # 50 records, the ten subjects and the ten visits that they refer to.
    assert max(few[1], many[1]) <= 50 + 20


def test_the_first_opening_costs_a_sample_more_and_the_second_page_nothing_more(carl: Visit, watched: Watch) -> None:
    ask(carl, TEN_THOUSAND)
    # The fourth is whether a group may be saved.
    assert watched.take() == (4, 5 + 50 + 20)
    ask(carl, TEN_THOUSAND, "&page=2")
    assert watched.take() == (2, 50 + 20)


def test_the_first_page_asks_linkahead_for_nothing(carl: Visit, watched: Watch) -> None:
    carl.get("/")
    assert watched.take() == (0, 0)


def test_sorting_asks_once_for_the_column_and_keeps_the_order_for_both_directions(carl: Visit, watched: Watch) -> None:
    first = names(ask(carl, TEN_THOUSAND, "&sort=EchoTime&columns=EchoTime"))
    # The sample, the page, whether a group may be saved, and the column in pages of its own.
    assert watched.take()[0] == 3 + 10_000 // 2_000
    last = names(ask(carl, TEN_THOUSAND, "&sort=-EchoTime&columns=EchoTime"))
    assert watched.take()[0] == 1
    assert first[:2] == ["T1WeightedImage 009999", "T1WeightedImage 009998"]
    assert last[:2] == ["T1WeightedImage 000000", "T1WeightedImage 000001"]


def test_too_many_records_to_sort_are_shown_unsorted_and_that_is_said(
    carl: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_SORTED == 20_000
    monkeypatch.setattr("heartbrain_ingest.portal.found.MOST_SORTED", 9_999)
    monkeypatch.setattr("heartbrain_ingest.portal.search.MOST_SORTED", 9_999)
    fresh(carl)
    page = ask(carl, TEN_THOUSAND, "&sort=-EchoTime")
    assert "too many records to sort them by this column: at most 9,999" in page
    assert names(page)[0] == "T1WeightedImage 000000"
    assert "aria-sort" in page
    assert 'aria-sort="descending"' not in page
    # The order of the numbers needs no sorting.
    assert names(ask(carl, TEN_THOUSAND, "&sort=-id"))[0] == "T1WeightedImage 009999"


def test_the_number_of_records_is_shown_and_all_pages_can_be_reached(carl: Visit) -> None:
    assert status(ask(carl, TEN_THOUSAND, "&page=200")) == "10,000 records, 9,951 to 10,000 are shown"
    assert status(ask(carl, "COUNT T1WeightedImage")) == "10,000 records"


def test_a_table_of_ten_thousand_is_written_page_by_page_and_not_held(carl: Visit, watched: Watch) -> None:
    address = f"/export.csv?query={quote(TEN_THOUSAND)}&columns=EchoTime&columns=Session.Age"
    assert carl.get(address).text.count("\n") == 10_001
    assert watched.most_at_once == 500
    requests, entities = watched.take()
    assert requests == 1 + 10_000 // 500 + 1
    assert entities == 5 + 10_000 + 10


@pytest.fixture(scope="module")
def large_group(site: GeneratedSite, carl: Visit) -> str:
    """Give the question for a group of as many images as one can have."""
    first = int(ids_of(carl, TEN_THOUSAND)[0])
    group = db.Record("large").add_parent("ImageGroup")
    group.add_property("Images", [*range(first, first + MOST_IN_GROUP)], datatype=db.LIST("MRImage"))
    with acting_as(visitor(carl)):
        site.insert([group])
    return "FIND ImageGroup WITH name = large"


def test_a_list_without_end_is_followed_as_far_as_it_is_shown(
    carl: Visit, watched: Watch, large_group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ask(carl, large_group, "&columns=Images.Session.Age&columns=Images")
    # The sample, the group, twenty of its images, and their ten visits.
    assert watched.take()[1] == 1 + 1 + 20 + 10
    assert "and 4,996 more" in page
    monkeypatch.setattr("heartbrain_ingest.portal.rows._MOST_REFERRED", 5)
    page = ask(carl, large_group, "&columns=Images.Session.Age")
    assert watched.take()[1] == 1 + 5 + 5
    assert "and 4,996 more" in page


def test_a_table_writes_the_beginning_of_a_list_without_end_and_says_so(
    carl: Visit, watched: Watch, large_group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"/export.csv?query={quote(large_group)}&columns=Images&columns=Images.EchoTime"
    for most in (1_000, 500):
        monkeypatch.setattr("heartbrain_ingest.portal.rows._MOST_WRITTEN", most)
        fresh(carl)
        carl.get("/")
        watched.take()
        _head, row = csv.reader(io.StringIO(carl.get(address).text))
        assert watched.take()[1] == 1 + 1 + most
        assert [len(one.split("; ")) for one in row[2:]] == [most + 1, most + 1]
        assert all(one.endswith(f"; and {MOST_IN_GROUP - most} more") for one in row[2:])


def test_a_value_in_another_unit_than_the_head_of_a_table_says_its_own(
    carl: Visit, site: GeneratedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heartbrain_ingest.portal.found._EXPORT_PAGE", 2)
    pairs = [(0.5, "s"), (None, ""), (3.0, "ms"), (1.5, "s")]
    records = [db.Record().add_parent("FieldMap").add_property("EchoTime", one, unit=unit) for one, unit in pairs]
    with acting_as(visitor(carl)):
        site.insert(records)
    head, *rows = csv.reader(io.StringIO(carl.get("/export.csv?query=FIND+FieldMap&columns=EchoTime").text))
    assert head[2:] == ["EchoTime (s)"]
    assert [row[2:] for row in rows] == [["0.5"], [""], ["3.0 ms"], ["1.5"]]


def test_a_table_does_not_become_formulas(carl: Visit, site: GeneratedSite) -> None:
    visits = site_visits(carl)
    steward(carl, lambda: db.Record("=1+1").add_parent("SBRefImage").add_property("Session", visits[0]).insert())
    text = carl.get(f"/export.csv?query={quote('FIND SBRefImage')}").text
    assert [row[1] for row in csv.reader(io.StringIO(text))][1:] == ["'=1+1"]


def site_visits(visit: Visit) -> list[int]:
    return [int(one) for one in ids_of(visit, "FIND Session")]


def steward(visit: Visit, act: object) -> object:
    """Do something at LinkAhead as the steward."""
    gate = visit.client.app.state.gate  # type: ignore[attr-defined]
    stefan = gate.log_in("stefan", "correct horse battery")
    with acting_as(stefan):
        return act()  # type: ignore[operator]


def test_texts_of_records_stay_texts(carl: Visit, site: GeneratedSite) -> None:
    def insert() -> None:
        db.Property(f"prop {SCRIPT}", datatype=db.TEXT, unit=SCRIPT, description=SCRIPT).insert()
        db.RecordType(f"Kind {SCRIPT}", description=SCRIPT).add_parent("MRImage").insert()
        subject = db.Record(f"subject {SCRIPT}", description=SCRIPT).add_parent("Subject").insert()
        record = db.Record(f"record {SCRIPT}", description=SCRIPT).add_parent(f"Kind {SCRIPT}")
        record.add_property("Subject", subject.id).add_property("acq", SCRIPT)
        record.add_property(f"prop {SCRIPT}", SCRIPT, unit=SCRIPT).insert()

    steward(carl, insert)
    fresh(carl)
    kind = quote(f"Kind {SCRIPT}")
    prop = quote(f"prop {SCRIPT}")
    addresses = [
        f"/?query={quote('FIND MRImage WITH acq LIKE *script*')}&columns={prop}&columns=acq&columns=description",
        f"/?kind={kind}&word=acq&text={quote(SCRIPT)}&subject={quote(SCRIPT)}&since={quote(SCRIPT)}",
        f"/?kind={kind}&columns={prop}&sort={prop}&saved={quote(SCRIPT)}",
        f"/?kind={kind}&property={quote(SCRIPT)}&low={quote(SCRIPT)}&word={quote(SCRIPT)}&text=x",
        f"/?query={quote(SCRIPT)}",
        f"/?query={quote(f'FIND {SCRIPT}')}&columns={quote(SCRIPT)}&sort={quote(SCRIPT)}",
        f"/form?kind={kind}&subject={quote(SCRIPT)}",
    ]
    seen = 0
    for address in addresses:
        page = carl.get(address).text
        assert "<script>alert" not in page, address
        assert "<img src=x" not in page, address
        # What is escaped may stand in an attribute as it is.
        assert not etree.fromstring(page, etree.HTMLParser()).xpath("//@onerror | //script[not(@src)]"), address
        seen += SCRIPT in html.unescape(page)
    assert seen == len(addresses)
    answer = carl.get(f"/complete?q={quote('FIND Kind')}")
    assert answer.headers["content-type"] == "application/json"
    assert any(SCRIPT in one["detail"] for one in answer.json())


def test_a_record_that_is_denied_to_one_visitor_never_shows_up_for_her(site: GeneratedSite) -> None:
    def insert() -> list[int]:
        subject = db.Record("sub-HIDDEN01").add_parent("Subject").insert()
        visit = db.Record("sub-HIDDEN01_ses-1").add_parent("Session").add_property("Subject", subject.id)
        visit.add_property("Age", 77.0, unit="year").add_property("Date", "2021-01-01").insert()
        images = []
        for name, holder in (("secret image", subject.id), ("open image", subject.id)):
            image = db.Record(name).add_parent("FLAIRImage").add_property("Subject", holder)
            images.append(image.add_property("Session", visit.id).add_property("acq", f"acq of {name}").insert())
        for hidden in (subject, visit, images[0]):
            hidden.retrieve_acl()
            hidden.deny(role="readonly", permission="RETRIEVE:ENTITY")
            hidden.update_acl()
        return [int(one.id) for one in (subject, visit, images[0], images[1])]

    clara, leo = Visit(site.settings), Visit(site.settings)
    # Both use the portal of the last one: one process, one connection.
    clara.client.app = leo.client.app
    clara.client._transport.app = leo.client._transport.app  # type: ignore[attr-defined]
    clara.log_in("clara")
    leo.log_in("leo")
    ids = steward(leo, insert)
    assert isinstance(ids, list)
    addresses = [
        "/?query=FIND+FLAIRImage",
        "/?query=FIND+FLAIRImage&sort=acq&columns=acq&columns=Subject&columns=Session.Age",
        "/?query=FIND+FLAIRImage&sort=-Session.Age&columns=Session.Subject.name&columns=Session.Age",
        "/?query=SELECT+Session.Age,+Session.Subject.name,+Subject.name+FROM+FLAIRImage",
        "/?kind=FLAIRImage&subject=sub-HIDDEN01",
        "/?query=COUNT+FLAIRImage",
        "/?query=FIND+Subject+WITH+name+LIKE+*HIDDEN*",
        "/export.csv?query=FIND+FLAIRImage&columns=Session.Age&columns=Subject&columns=acq",
        "/complete?of=Subject&q=sub-H",
        "/complete?kind=FLAIRImage&property=acq&q=acq",
        f"/thumbnail/{ids[2]}",
    ]
    secrets = ["secret image", "sub-HIDDEN01_ses", "77<", "77.0", f'value="{ids[2]}"']
    secrets += [f"/record/{one}" for one in ids[:3]]
    for _turn in range(2):
        for address in addresses:
            for_clara, for_leo = clara.get(address), leo.get(address)
            if for_clara.status_code == 200:
                assert for_clara.text != for_leo.text, address
            for secret in secrets:
                assert secret not in without_chrome(for_leo.text), (address, secret)
    assert status(clara.get("/?query=COUNT+FLAIRImage").text) == "2 records"
    assert status(leo.get("/?query=COUNT+FLAIRImage").text) == "1 record"
    assert names(leo.get(addresses[1]).text) == ["open image"]
    assert [one["text"] for one in clara.get(addresses[8]).json()] == ["sub-HIDDEN01"]
    assert leo.get(addresses[8]).json() == []


def without_chrome(page: str) -> str:
    """Leave out what is on the page of everybody: the form with the data model, addresses of files."""
    return re.sub(r'<head>.*?</head>|<div class="ways">.*?<p id="found-status"', "", page, flags=re.DOTALL)


def test_a_record_that_is_denied_between_two_pages_is_gone_from_a_sorted_table(site: GeneratedSite) -> None:
    leo = Visit(site.settings).log_in("leo")

    def insert() -> list[int]:
        return [
            int(db.Record(f"image {one}").add_parent("PDWeightedImage").add_property("acq", f"{one}").insert().id)
            for one in range(3)
        ]

    def deny(identifier: int) -> None:
        record = db.Record(id=identifier).retrieve()
        record.retrieve_acl()
        record.deny(role="readonly", permission="RETRIEVE:ENTITY")
        record.update_acl()

    ids = steward(leo, insert)
    assert isinstance(ids, list)
    page = ask(leo, "FIND PDWeightedImage", "&sort=acq")
    assert names(page) == ["image 0", "image 1", "image 2"]
    steward(leo, lambda: deny(ids[1]))
    page = ask(leo, "FIND PDWeightedImage", "&sort=acq")
    assert names(page) == ["image 0", "image 2"]
    assert "image 1" not in page
