"""Each answer is written from the text of the query language and from the museum below, not from the program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import linkahead as db
import pytest

from linkahead_embedded.bootstrap import close_application, connect_client, open_application
from linkahead_embedded.lql.parser import parse
from linkahead_embedded.lql.planner import Planner

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def build() -> None:
    db.Container().extend(
        [
            db.Property("price", datatype=db.DOUBLE, unit="EUR"),
            db.Property("electric", datatype=db.BOOLEAN),
            db.Property("strings", datatype=db.INTEGER),
            db.Property("length", datatype=db.DOUBLE, unit="mm"),
            db.Property("speed", datatype=db.DOUBLE, unit="m/s"),
            db.Property("temperature", datatype=db.DOUBLE, unit="K"),
            db.Property("note", datatype=db.TEXT),
            db.Property("code", datatype=db.TEXT),
            db.Property("tags", datatype=db.LIST(db.TEXT)),
            db.Property("numbers", datatype=db.LIST(db.INTEGER)),
            db.Property("date", datatype=db.DATETIME),
            db.Property("quality_factor", datatype=db.DOUBLE),
            db.Property("serial", datatype=db.INTEGER),
            db.Property("anything", datatype=db.REFERENCE),
        ]
    ).insert()
    # A property below another one is found under both names.
    db.Property("neck_length", datatype=db.DOUBLE, unit="cm").add_parent("length").insert()
    db.Container().extend(
        [
            db.RecordType("Person"),
            db.RecordType("MusicalInstrument", description="makes music"),
            db.RecordType("Guitar").add_parent("MusicalInstrument"),
            db.RecordType("ElectricGuitar").add_parent("Guitar"),
            db.RecordType("Violin").add_parent("MusicalInstrument"),
            db.RecordType("Analysis"),
            db.RecordType("MusicalAnalysis").add_parent("Analysis"),
            db.RecordType("OpticalLens"),
            db.RecordType("PhotoCamera"),
        ]
    ).insert()
    db.Container().extend(
        [
            db.Property("owner", datatype="Person"),
            db.Property("instrument", datatype="MusicalInstrument"),
            db.Property("others", datatype=db.LIST("MusicalInstrument")),
            db.Property("camera", datatype="PhotoCamera"),
            db.Property("lens", datatype="OpticalLens"),
        ]
    ).insert()
    ann = db.Record("Ann").add_parent("Person").add_property("code", "A1")
    bob = db.Record("Bob").add_parent("Person").add_property("code", None)
    nice = (
        db.Record("Nice Guitar", description="a brown leaf on it").add_parent("Guitar")
        .add_property("price", 9000).add_property("electric", False).add_property("strings", 6)
        .add_property("owner", ann).add_property("note", "val1").add_property("length", 1000)
        .add_property("tags", ["old", "brown"]).add_property("numbers", [3, 5])
    )  # fmt: skip
    mine = (
        db.Record("My first guitar").add_parent("ElectricGuitar")
        .add_property("price", 12000.5).add_property("electric", True).add_property("strings", 6)
        .add_property("owner", bob).add_property("note", "vall0 and 100*").add_property("neck_length", 80)
        .add_property("tags", ["new"]).add_property("numbers", [5])
    )  # fmt: skip
    fiddle = (
        db.Record("fiddle").add_parent("Violin")
        .add_property("price", 500).add_property("electric", False).add_property("strings", 4)
        .add_property("note", "").add_property("length", 0.6, unit="m").add_property("temperature", 283.15)
    )  # fmt: skip
    kazoo = db.Record("kazoo").add_parent("MusicalInstrument").add_property("note", None)
    kazoo.add_property("length", 13, unit="furlongs_of_mine").add_property("speed", 0.9)
    lens = db.Record("L1").add_parent("OpticalLens").add_property("length", 35)
    cameras = [
        db.Record("C1").add_parent("PhotoCamera").add_property("serial", 5).add_property("lens", lens),
        db.Record("C2").add_parent("PhotoCamera").add_property("serial", 6),
    ]
    analyses = [
        db.Record("first").add_parent("MusicalAnalysis").add_property("quality_factor", 0.9)
        .add_property("date", "2019-03-04").add_property("instrument", nice).add_property("camera", cameras[0]),
        db.Record("second").add_parent("MusicalAnalysis").add_property("quality_factor", 0.1)
        .add_property("date", "2019").add_property("instrument", fiddle).add_property("camera", cameras[1]),
        db.Record("third").add_parent("Analysis").add_property("quality_factor", 0.6)
        .add_property("date", "2019-03-04T10:00:00").add_property("others", [mine, fiddle]),
        db.Record("fourth").add_parent("Analysis").add_property("date", "2020-01").add_property("anything", ann),
    ]  # fmt: skip
    db.Container().extend([ann, bob, nice, mine, fiddle, kazoo, lens, *cameras, *analyses]).insert()


@pytest.fixture(scope="module")
def museum(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("museum")
    root = folder / "files"
    for name in ("data/a.acq", "data/raw/b.acq", "data/raw/c.txt", "top.acq", "data/a*b.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name, encoding="utf-8")
    database = folder / "museum.db"
    connect_client(database, root, "curator")
    build()
    for name in ("data/a.acq", "data/raw/b.acq", "data/raw/c.txt", "top.acq", "data/a*b.txt"):
        db.File(name, path=f"/{name}").insert()
    yield database
    close_application(database)


@pytest.fixture(autouse=True)
def connected(museum: Path) -> None:
    connect_client(museum, None, "curator")


def names(query: str) -> set[str]:
    return {entity.name for entity in db.execute_query(query)}


INSTRUMENTS = {"Nice Guitar", "My first guitar", "fiddle", "kazoo"}
GUITARS = {"Nice Guitar", "My first guitar"}
ANALYSES = {"first", "second", "third", "fourth"}

ANSWERS: list[tuple[str, set[str]]] = [
    # what the entity part matches
    ("FIND MusicalInstrument", INSTRUMENTS),
    ("find musicalinstrument", INSTRUMENTS),
    ("FIND RECORD MusicalInstrument", INSTRUMENTS),
    ("FIND RECORDS Guitar", GUITARS),
    ("FIND A Guitar", GUITARS),
    ("FIND ENTITY Guitar", {"Guitar", "ElectricGuitar", *GUITARS}),
    ("FIND RECORDTYPE Guitar", {"Guitar", "ElectricGuitar"}),
    ("FIND RECORDTYPE 'MusicalInstrument'", {"MusicalInstrument", "Guitar", "ElectricGuitar", "Violin"}),
    ("FIND RECORDTYPE WITH name='Guitar'", {"Guitar"}),
    ("FIND PROPERTY length", {"length", "neck_length"}),
    ("FIND 'My first guitar'", {"My first guitar"}),
    ('FIND "Nice Guitar"', {"Nice Guitar"}),
    ("FIND RECORD Nice Guitar", {"Nice Guitar"}),
    ("FIND RECORD Nice*", {"Nice Guitar"}),
    ("FIND RECORD '*guitar'", GUITARS),  # names ignore case; ElectricGuitar and Guitar match as types, too
    (r"FIND RECORD 'a\*b'", set()),
    ("FIND RECORD <<[Nn]ice .*>>", {"Nice Guitar"}),
    ("FIND RECORD <<Nice>>", set()),  # a regular expression covers the whole name
    ("FIND QUERYTEMPLATE", set()),
    ("FIND Nobody", set()),
    # introducers
    *((f"FIND Guitar{introducer}strings=6", GUITARS) for introducer in (
        ".", " . ", " WITH ", " WHICH HAS A ", " WHICH HAS A PROPERTY ", " WITH A PROPERTY ", " WITH PROPERTY ",
        " WHERE ", " HAVING ", " WHICH HAVE A ", " THAT HAS AN ", " HAS A ",
    )),
    ("FIND WITH strings=4", {"fiddle"}),
    ("FIND ENTITY WITH ", set()),
    # properties
    ("FIND MusicalInstrument WITH note", INSTRUMENTS),  # an empty string and null are there, too
    ("FIND MusicalInstrument WITH price", {"Nice Guitar", "My first guitar", "fiddle"}),
    ("FIND MusicalInstrument WITHOUT price", {"kazoo"}),
    ("FIND MusicalInstrument WITH NOT price", {"kazoo"}),
    ("FIND MusicalInstrument WITH length", INSTRUMENTS),  # neck_length is a length
    ("FIND MusicalInstrument WITH neck_length", {"My first guitar"}),
    ("FIND MusicalInstrument WITH len*", INSTRUMENTS),
    ("FIND MusicalInstrument WITH <<neck.*>>", {"My first guitar"}),
    ("FIND MusicalInstrument WITH no_such_property", set()),
    ("FIND MusicalInstrument WITHOUT no_such_property", INSTRUMENTS),
    # comparisons
    ("FIND Guitar WITH price > 10000", {"My first guitar"}),
    ("FIND MusicalInstrument WITH price != 500", GUITARS),
    ("FIND MusicalInstrument WITH NOT price = 500", GUITARS | {"kazoo"}),
    ("FIND MusicalInstrument WITH price >= 500 AND price <= 9000", {"Nice Guitar", "fiddle"}),
    ("FIND MusicalInstrument WITH price < 1.0e3", {"fiddle"}),
    ("FIND MusicalInstrument WITH price='9000.0'", {"Nice Guitar"}),
    ("FIND RECORD 'MusicalInstrument' WITH 'strings'='06' ", GUITARS),
    ("FIND MusicalInstrument WITH electric = true", {"My first guitar"}),
    ("FIND MusicalInstrument WITH 'electric'='FALSE' ", {"Nice Guitar", "fiddle"}),
    ("FIND MusicalInstrument WITH > 11000", {"My first guitar"}),
    ("FIND MusicalInstrument.>11000", {"My first guitar"}),
    ('FIND MusicalInstrument WHICH HAS A PROPERTY = "val1"', {"Nice Guitar"}),
    ("FIND MusicalInstrument WITH note = val1", {"Nice Guitar"}),
    ("FIND MusicalInstrument WITH note = VAL1", set()),  # text equality keeps case
    ("FIND MusicalInstrument WITH note = vall0 and 100*", set()),  # AND ends a bare value
    ("FIND MusicalInstrument WITH note = 'vall0 and 100*'", {"My first guitar"}),
    ("FIND MusicalInstrument WITH note LIKE va*", GUITARS),
    ("FIND MusicalInstrument WITH note LIKE va*1", {"Nice Guitar"}),
    ("FIND MusicalInstrument WITH note LIKE *al1", {"Nice Guitar"}),
    (r"FIND MusicalInstrument WITH note LIKE '*100\*'", {"My first guitar"}),
    ("FIND MusicalInstrument WITH note LIKE <<v.l[0-9]+>>", {"Nice Guitar"}),
    ("FIND MusicalInstrument WITH note = ''", {"fiddle"}),
    ("FIND MusicalInstrument WITH note != ''", GUITARS),
    ("FIND MusicalInstrument WITH note IS EMPTY", {"fiddle"}),
    ("FIND MusicalInstrument WITH note IS NULL", {"kazoo"}),
    ("FIND MusicalInstrument WITH note IS NOT NULL", {"Nice Guitar", "My first guitar", "fiddle"}),
    ("FIND RECORD 'Person' WITH 'code' IS NULL ", {"Bob"}),
    # lists
    ("FIND MusicalInstrument WITH 'numbers'='3' AND 'numbers'='5' ", {"Nice Guitar"}),
    ("FIND MusicalInstrument WITH numbers=5", GUITARS),
    ("FIND MusicalInstrument WITH tags=brown", {"Nice Guitar"}),
    # attributes
    ("FIND ENTITY WITH name='price'", {"price"}),
    ("FIND ENTITY WITH name=PRICE", {"price"}),
    ("FIND Guitar WITH name LIKE 'nice*'", {"Nice Guitar"}),
    ("FIND Guitar WITH description LIKE '*leaf*'", {"Nice Guitar"}),
    # references
    ("FIND Guitar WITH owner=Ann", {"Nice Guitar"}),
    ("FIND Guitar WITH owner -> Ann", {"Nice Guitar"}),
    ("FIND Guitar WITH owner=Person", GUITARS),
    ("FIND Guitar WHICH HAS A owner REFERENCE TO Ann", {"Nice Guitar"}),
    ("FIND Guitar WHICH HAS A PROPERTY owner REFERENCES Ann", {"Nice Guitar"}),
    ("FIND Analysis WHICH REFERENCES A Guitar", {"first", "third"}),
    ("FIND Analysis WHICH REFERENCES Guitar AS AN instrument", {"first"}),
    ("FIND Analysis . -> Guitar", {"first", "third"}),
    ("FIND Analysis WITH REFERENCE", ANALYSES),
    ("FIND Analysis WITH REFERENCE TO Ann", {"fourth"}),
    ("FIND Analysis which references 'Ann' or which references 'My first guitar'", {"third", "fourth"}),
    ("FIND Analysis WITH references fiddle AND 'quality_factor'='0.6' ", {"third"}),
    # back references
    ("FIND Guitar WHICH IS REFERENCED BY Analysis AS A instrument", {"Nice Guitar"}),
    ("FIND MusicalInstrument WHICH IS REFERENCED BY AN Analysis", {"Nice Guitar", "My first guitar", "fiddle"}),
    ("FIND Guitar WITH @ Analysis / instrument", {"Nice Guitar"}),
    ("FIND Guitar . @ Analysis", GUITARS),
    ("FIND Person WHICH IS REFERENCED", {"Ann", "Bob"}),
    ("FIND MusicalInstrument WHICH IS NOT REFERENCED BY Analysis", {"kazoo"}),
    ("FIND MusicalInstrument WHICH IS REFERENCED BY Analysis WITH quality_factor > 0.5", GUITARS | {"fiddle"}),
    ("FIND MusicalInstrument WHICH IS REFERENCED BY Analysis AS A instrument WITH quality_factor > 0.5 AND price > 5",
     {"Nice Guitar"}),
    ("FIND MusicalInstrument WHICH IS REFERENCED BY first AND WHICH IS REFERENCED BY second", set()),
    ("FIND MusicalInstrument WHICH IS REFERENCED BY second AND WHICH IS REFERENCED BY third AND WITH 'strings'='4' ",
     {"fiddle"}),
    # sub-properties
    ("FIND Analysis WITH camera.serial = 5", {"first"}),
    ("FIND Analysis WHICH HAS A camera WHICH HAS A serial = 5", {"first"}),
    ("FIND Analysis.camera.lens.length > 30", {"first"}),
    ("FIND Analysis WITH camera WITH serial > 1", {"first", "second"}),
    ("FIND Analysis WITH camera WITH (serial = 5 AND lens)", {"first"}),
    ("FIND Analysis WHICH REFERENCES PhotoCamera WITH serial = 6", {"second"}),
    ("FIND Analysis WITH camera.name = 'C1'", {"first"}),
    ("FIND Analysis WITH camera -> PhotoCamera WITH serial = 5", {"first"}),
    ("FIND Analysis WITH instrument.owner.code = A1", {"first"}),
    # dates
    ("FIND Analysis WITH date = 2019-03-04", {"first"}),
    ("FIND Analysis WITH date = 2019-03-04T10:00:00", {"third"}),
    ("FIND Analysis WITH date = '2019-03-04T12:00:00+0200'", {"third"}),
    ("FIND Analysis WITH date = 2019", {"second"}),
    ("FIND Analysis WITH date != 2019-03-04", {"second", "fourth"}),
    ("FIND Analysis WITH NOT date = 2019-03-04", {"second", "third", "fourth"}),
    ("FIND Analysis WITH date > 2019", {"fourth"}),
    ("FIND Analysis WITH date > 2019-03", {"fourth"}),  # 2019 overlaps March: undefined
    ("FIND Analysis WITH date < 2019-03", set()),
    ("FIND Analysis WITH date < 2020", {"first", "second", "third"}),
    ("FIND Analysis WITH date IN 2019", {"first", "second", "third"}),
    ("FIND Analysis WITH date IN 2019-03", {"first", "third"}),
    ("FIND Analysis WITH date IN '2019-03-04'", {"first", "third"}),
    ("FIND Analysis WITH date IN (2019-03)", {"first", "third"}),
    ("FIND Analysis WITH date NOT IN 2019-03", {"second", "fourth"}),
    ("FIND Analysis WITH date >= '2019-03-04T10:00:00'", {"third", "fourth"}),
    ("FIND MusicalAnalysis WITH quality_factor>0.5 AND date IN 2019", {"first"}),
    ("FIND Analysis WHICH DOESN'T HAVE A date=2020-01", {"first", "second", "third"}),
    # transactions
    ("FIND PhotoCamera CREATED BY ME", {"C1", "C2"}),
    ("FIND PhotoCamera WHICH HAS BEEN CREATED BY ME TODAY", {"C1", "C2"}),
    ("FIND PhotoCamera WHICH HAS BEEN INSERTED BY erwin", set()),
    ("FIND PhotoCamera INSERTED BY cur*", {"C1", "C2"}),
    ("FIND PhotoCamera WHICH WAS UPDATED BY SOMEONE ELSE", set()),
    ("FIND PhotoCamera WHICH IS CREATED BY SOMEONE ELSE BUT erwin", {"C1", "C2"}),
    ("FIND PhotoCamera WHICH IS CREATED BY SOMEONE ELSE BUT ME", set()),
    ("FIND PhotoCamera WHICH WAS INSERTED BEFORE 2021", set()),
    ("FIND PhotoCamera WHICH WAS INSERTED AFTER 2021", {"C1", "C2"}),
    ("FIND PhotoCamera WHICH WAS INSERTED SINCE 2021-05-03", {"C1", "C2"}),
    ("FIND PhotoCamera WHICH HAS NOT BEEN UPDATED BY ME", {"C1", "C2"}),
    # files
    ("FIND FILE WHICH IS STORED AT '/data/a.acq'", {"data/a.acq"}),
    ('FIND FILE . STORED AT "/top.acq"', {"top.acq"}),
    ("FIND file which is stored at /data/*.acq", {"data/a.acq"}),
    ("FIND FILE WHICH IS STORED AT '/data/**'", {"data/a.acq", "data/raw/b.acq", "data/raw/c.txt", "data/a*b.txt"}),
    ("FIND FILE WHICH IS STORED AT /data/", {"data/a.acq", "data/a*b.txt"}),
    ("FIND FILE WHICH IS STORED AT *.acq", {"data/a.acq", "data/raw/b.acq", "top.acq"}),
    ("FIND FILE WHICH IS STORED AT /*/*.acq", {"data/a.acq"}),
    ("FIND FILE WHICH IS STORED AT /**/raw/**", {"data/raw/b.acq", "data/raw/c.txt"}),
    ("FIND FILE WHICH IS STORED AT 'data/a.acq'", {"data/a.acq"}),
    (r"FIND FILE WHICH IS STORED AT '/data/a\*b.txt'", {"data/a*b.txt"}),
    ("FIND FILES WHICH ARE STORED AT /data/raw/**", {"data/raw/b.acq", "data/raw/c.txt"}),
    ("FIND FILE WHICH IS NOT STORED AT /data/**", {"top.acq"}),
    # logic
    ("FIND Guitar WITH strings=6 AND electric=true AND price>1", {"My first guitar"}),
    ("FIND Guitar . strings=6 & electric=true", {"My first guitar"}),
    ("FIND MusicalInstrument WITH strings=4 OR electric=true", {"fiddle", "My first guitar"}),
    ("FIND MusicalInstrument.strings=4|electric=true", {"fiddle", "My first guitar"}),
    ("FIND MusicalInstrument . NOT strings=6", {"fiddle", "kazoo"}),
    ("FIND MusicalInstrument.!strings=6", {"fiddle", "kazoo"}),
    ("FIND MusicalInstrument.strings=6&!electric=true&((price=9000&note=val1)|!strings=6)", {"Nice Guitar"}),
    ("FIND MusicalInstrument WITH electric=true AND strings=4 OR price=500", {"fiddle"}),  # AND binds tighter
    ("FIND MusicalInstrument WITH (strings=4)", {"fiddle"}),
    (
        (
            "FIND MusicalInstrument WHICH HAS A strings=6 AND DOESN'T HAVE A price<10000 "
            "AND ((WHICH HAS A electric=true AND A note) OR DOES NOT HAVE A (price=1 AND note))"
        ),
        {"My first guitar"},
    ),
    # extremes
    ("FIND MusicalInstrument WITH THE GREATEST price", {"My first guitar"}),
    ("FIND MusicalInstrument WHICH HAS THE SMALLEST price", {"fiddle"}),
    ("FIND MusicalInstrument WITH THE GREATEST strings", GUITARS),
    ("FIND MusicalInstrument WITH THE GREATEST price AND electric=false", set()),
    ("FIND MusicalInstrument WITH MAX price", {"My first guitar"}),
    ("FIND Analysis WITH THE GREATEST date", {"fourth"}),
    ("FIND PhotoCamera WITH THE GREATEST id", {"C2"}),
    # units: 1000 mm, 80 cm, 0.6 m, 13 of an unknown unit, 35 mm
    ("FIND MusicalInstrument WITH length > 70 cm", GUITARS),
    ("FIND MusicalInstrument WITH length>700mm", GUITARS),
    ("FIND MusicalInstrument WITH length = '60 cm'", {"fiddle"}),
    ("FIND MusicalInstrument WITH length = 1 m", {"Nice Guitar"}),
    ("FIND MusicalInstrument WITH length < 1 km", {"Nice Guitar", "My first guitar", "fiddle"}),
    ("FIND MusicalInstrument WITH length = 13", {"kazoo"}),
    ("FIND MusicalInstrument WITH length = 13 furlongs_of_mine", {"kazoo"}),
    ("FIND MusicalInstrument WITH speed < 3.6 km/h", {"kazoo"}),
    ("FIND MusicalInstrument WITH temperature = 10 °C", {"fiddle"}),
    ("FIND MusicalInstrument WITH temperature > 10 m", set()),
]  # fmt: skip


@pytest.mark.parametrize(("query", "expected"), ANSWERS, ids=[query for query, _ in ANSWERS])
def test_a_query_answers_what_the_text_of_the_language_says(query: str, expected: set[str]) -> None:
    assert names(query) == expected


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("COUNT MusicalInstrument", 4),
        ("COUNT RecordType MusicalInstrument WITH name=Guitar", 1),
        ('COUNT Property "length"', 2),
        ("COUNT Guitar WITH price > 1", 2),
        ("COUNT Nobody", 0),
    ],
)
def test_count_gives_a_number(query: str, count: int) -> None:
    assert db.execute_query(query) == count


def test_ids_serve_where_names_do() -> None:
    guitar = db.execute_query("FIND RECORDTYPE WITH name=Guitar", unique=True).id
    ann = db.execute_query("FIND Ann", unique=True).id
    assert names(f"FIND {guitar}") == GUITARS
    assert names(f"FIND ENTITY '{guitar}' WITH name='nice guitar'") == {"Nice Guitar"}
    assert names(f"FIND Guitar WITH owner={ann}") == {"Nice Guitar"}
    assert names(f"FIND Guitar WITH 'owner'='{ann}' ") == {"Nice Guitar"}
    assert names(f"FIND ENTITY WHICH references {ann}") == {"Nice Guitar", "fourth"}
    first = db.execute_query("FIND first", unique=True).id
    assert names(f"FIND RECORD MusicalInstrument WHICH IS REFERENCED BY {first} AND WITH 'strings'='6' ") == {
        "Nice Guitar"
    }
    assert db.execute_query(f"COUNT RecordType MusicalInstrument with id={guitar}") == 1
    assert db.execute_query(f"COUNT Guitar WITH id={ann}") == 0
    assert names(f"FIND ENTITY WITH ID={ann} OR ID={guitar}") == {"Ann", "Guitar"}
    assert names(f"FIND ENTITY WITH id IN ({ann}, {guitar})") == {"Ann", "Guitar"}
    assert names(f"FIND ENTITY WITH ID>{ann} AND ID<{ann + 2}") == {"Bob"}


def test_results_come_in_the_order_of_ids_and_pages_add_up() -> None:
    everything = [entity.id for entity in db.execute_query("FIND ENTITY WITH ID > 99")]
    assert everything == sorted(everything)
    paged = [entity.id for page in db.execute_query("FIND ENTITY WITH ID > 99", page_length=7) for entity in page]
    assert paged == everything


def test_select_reduces_records_to_columns_and_follows_references() -> None:
    table = db.execute_query("SELECT name, price, owner.name, owner.code, length.unit FROM Guitar").get_property_values(
        "name", "price", ("owner", "name"), ("owner", "code"), ("length", "unit")
    )
    assert set(table) == {("Nice Guitar", 9000.0, "Ann", "A1", "mm"), ("My first guitar", 12000.5, "Bob", None, None)}
    record = db.execute_query("SELECT price FROM Guitar WITH name='Nice Guitar'", unique=True)
    assert [prop.name for prop in record.properties] == ["price"]
    assert [parent.name for parent in record.parents] == ["Guitar"]


def test_select_follows_lists_of_references() -> None:
    record = db.execute_query("SELECT others.strings FROM Analysis WITH name=third", unique=True)
    assert [nested.get_property("strings").value for nested in record.get_property("others").value] == [6, 4]


@pytest.mark.parametrize(
    ("query", "place", "expected"),
    [
        ("FND x", "character 1", "FIND"),
        ("FIND Guitar WITH price ==", "character 25", "a value"),
        ("FIND Guitar WITH (price = 1", "the end of the query", "')'"),
        ("FIND Guitar WITH price = 1 AND", "the end of the query", "a name"),
        ("FIND Guitar WITH price = 'x", "character 26", "a value"),
        ("SELECT FROM Guitar", "character 8", "a column"),
        ("FIND", "after the first word", "a role"),
    ],
)
def test_a_malformed_query_is_refused_with_the_place_and_what_was_expected(
    query: str, place: str, expected: str
) -> None:
    with pytest.raises(db.exceptions.TransactionError) as refusal:
        db.execute_query(query)
    assert place in str(refusal.value)
    assert expected in str(refusal.value)


def test_the_plan_of_a_selective_query_starts_from_an_index(museum: Path) -> None:

    with open_application(museum).database.read() as connection:
        for query in (
            "FIND Guitar WITH strings=6 AND note=val1",
            "FIND Guitar WHICH IS REFERENCED BY first",
            "FIND Analysis WITH camera.lens.length = 35",
            "FIND FILE WHICH IS STORED AT '/data/**'",
        ):
            plan = Planner(connection, "x").plan(parse(query))
            steps: list[Any] = connection.execute(f"EXPLAIN QUERY PLAN {plan.text}", plan.parameters).fetchall()
            scans = [row[3] for row in steps if row[3].startswith("SCAN") and "INDEX" not in row[3]]
            assert all("CONSTANT ROW" in scan or scan in {"SCAN q", "SCAN d", "SCAN t"} for scan in scans), (
                query,
                scans,
            )
