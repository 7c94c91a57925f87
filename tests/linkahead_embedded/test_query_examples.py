r"""Every example of the reference of the query language, as it is written there, with what it has to find here.

The answers are written from the meaning that stands beside each example and from the museum below, not from the
program. Entities are named by their names, files by their paths.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from lxml import etree

from linkahead_embedded.app import Application
from linkahead_embedded.auth import User
from linkahead_embedded.bootstrap import close_application, open_application
from linkahead_embedded.exchange import Request

FILES = ("/proj/f1.dat", "/a.txt", "/r.acq", "/data/x.acq", "/data/sub/y.acq", "/data/raw/z.acq", "/data/a*b.txt",
         "/data/a.txt", "/data/img.png")  # fmt: skip
IN_DATA = FILES[3:]
#: name -> datatype, unit; `sublength` stands below `length`.
PROPERTIES = {
    **dict.fromkeys(("p1", "val", "quality", "quality_factor", "focal", "size_um", "price"), ("DOUBLE", "")),
    **dict.fromkeys(("p2", "p3", "p4", "p5", "p6", "age", "barcode", "index", "serial"), ("INTEGER", "")),
    **dict.fromkeys(("note", "my prop", "other.prop", "first_name", "run_id", "txt", "brand", "p"), ("TEXT", "")),
    "length": ("DOUBLE", "mm"),
    "sublength": ("DOUBLE", "mm"),
    "speed": ("DOUBLE", "m/s"),
    "weight": ("DOUBLE", "kg"),
    "valid": ("BOOLEAN", ""),
    "date": ("DATETIME", ""),
    "items": ("LIST<INTEGER>", ""),
}
#: name -> parent
TYPES = {
    **dict.fromkeys(
        ("Sample", "MusicalInstrument", "Analysis", "MusicalAnalysis", "Person", "Scan", "Box", "Project"), ""
    ),
    **dict.fromkeys(("CrawlerRun", "Measurement", "M", "Hub", "Camera", "Lens", "Experiment", "Image"), ""),
    "LIST_of_things": "",
    "Guitar": "MusicalInstrument",
    "ElectricGuitar": "Guitar",
    "SubProject": "Project",
}
REFERENCES = {
    "owner": "Person",
    "responsible": "LIST<Person>",
    "instrument": "MusicalInstrument",
    "camera": "Camera",
    "lens": "Lens",
    "link": "LIST<REFERENCE>",
}


class Museum:
    """Inserts entities one by one, so that each can have the id that an example names.

    Some of these are below 100, where no server puts them.
    """

    def __init__(self, application: Application) -> None:
        self.application = application
        self.next_id = 300

    def sql(self, text: str, *parameters: object) -> None:
        connection = sqlite3.connect(self.application.database.path)
        connection.execute(text, parameters)
        connection.commit()
        connection.close()

    def put(self, role: str, name: str, parent: str = "", entity: int = 0, by: str = "me", **values: object) -> None:
        attributes = {key.strip("_"): str(values.pop(key)) for key in list(values) if key.endswith("_")}
        element = etree.Element(role, {"id": "-1", "name": name, **attributes})
        if parent:
            etree.SubElement(element, "Parent", name=parent)
        for key, value in values.items():
            element.append(_property(key.replace("__", " "), value))
        if not entity:
            entity, self.next_id = self.next_id, self.next_id + 1
        self.sql("UPDATE setting SET value = ? WHERE key = 'next_id'", str(entity))
        self.send("POST", "Entity", b"<Insert>" + etree.tostring(element) + b"</Insert>", by)

    def change(self, name: str, description: str, by: str, drop: str = "") -> None:
        element = self.ask(f"FIND ENTITY WITH name='{name}'")[1]
        element.set("description", description)
        for one in element.findall("Property"):
            if one.get("name") == drop:
                one.text = None
        self.send("PUT", "Entity", b"<Update>" + etree.tostring(element) + b"</Update>", by)

    def send(self, method: str, path: str, body: bytes = b"", by: str = "me") -> etree._Element:
        response = self.application.handle(Request(method, path, body), User(by))
        assert response.status == 200, response.body
        assert b"<Error" not in response.body, response.body
        return etree.fromstring(response.body)

    def ask(self, query: str) -> tuple[int, etree._Element]:
        root = self.send("GET", f"Entity?query={quote(query, safe='')}")
        head = root.find("Query")
        assert head is not None
        return int(head.get("results", "-1")), root[-1]

    def find(self, query: str) -> tuple[int, list[str]]:
        root = self.send("GET", f"Entity?query={quote(query, safe='')}")
        head = root.find("Query")
        assert head is not None
        named = [one.get("path") or one.get("name") or "" for one in root if one.tag not in ("Query", "UserInfo")]
        return int(head.get("results", "-1")), named


def _property(name: str, value: object) -> etree._Element:
    datatype = {}
    if isinstance(value, tuple):
        value, datatype = value[0], {value[1]: value[2]}
    element = etree.Element("Property", {"name": name, **datatype})
    if isinstance(value, list):
        for one in value:
            etree.SubElement(element, "Value").text = str(one)
    elif value == "":
        etree.SubElement(element, "EmptyString")
    elif value is not None:
        element.text = str(value)
    return element


def _at(*date: int) -> int:
    return int(datetime(*date, 12, tzinfo=UTC).timestamp() * 1_000_000)  # type: ignore[misc,arg-type]


@pytest.fixture(scope="module")
def museum(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Museum]:
    folder = tmp_path_factory.mktemp("museum")
    application = open_application(folder / "linkahead.db", folder / "files")
    one = Museum(application)
    build(one, folder / "files")
    yield one
    close_application(folder / "linkahead.db")


def build(one: Museum, root: Path) -> None:
    build_model(one)
    build_samples(one)
    build_instruments(one)
    build_experiments(one)
    build_files(one, root)
    build_past(one)


def build_model(one: Museum) -> None:
    put = one.put
    put("RecordType", "Base", entity=101)
    put("RecordType", "Parent", entity=105)
    put("RecordType", "Human", entity=106)
    for name, (datatype, unit) in PROPERTIES.items():
        put("Property", name, "length" if name == "sublength" else "", datatype_=datatype, unit_=unit)
    for name, parent in TYPES.items():
        put("RecordType", name, parent)
    for name, datatype in REFERENCES.items():
        put("Property", name, datatype_=datatype)


def build_samples(one: Museum) -> None:
    put = one.put
    put("Record", "Alice", "Human")
    put("Record", "Ann", "Person", first_name="Ann")
    put("Record", "Bob", "Person", first_name=None)
    put("Record", "Pia", "Person", 118, first_name="Pia")
    put("Record", "Quentin", "Person", 119, first_name="Quentin")
    put("Record", "Rita", "Person", 120, first_name="Rita")
    put("Record", "Nina", "Person", 4711, first_name="Nina")
    put("Record", "Twelve", "Person", 12, first_name="12")
    put("Record", "Thirteen", "Person", 13, first_name="13")
    put("Record", "Pa", "Parent")
    put("Record", "S-1", "Sample", p1=1, p2=2, p3=3, p5=7, note="val1", barcode=1, length=4, owner="Ann")
    put("Record", "S-2", "Sample", p1=5, p2=2, note="some text", valid="FALSE", length=(4.5, "unit", "cm"), owner=4711)
    put("Record", "S-3", "Sample", p1=6, p2=1, p3=3, p4=4, note="", sublength=50, owner=("Ann", "datatype", "TEXT"))
    put("Record", "S-4", "Sample", p1=-1, p2=None, p5=5, p6=6, note=None, age=5, speed=2, owner="4711@abcdef")
    put("Record", "S-5", "Sample", description_="a leaf", p1=5, note="valley 100*", length=5)
    put("Record", "S-6", "Sample", by="erwin", my__prop="x", speed=0.9, Parent="Pa")
    put("Record", "S-7", "Sample", by="zoe")


def build_instruments(one: Museum) -> None:
    put = one.put
    put("Record", "My first guitar", "Guitar", price=500, weight=4)
    put("Record", "Nice Guitar", "Guitar", price=12000, weight=6)
    put("Record", "axe", "ElectricGuitar")
    for name in ("a*b", "it's", 'say "hi"', "back\\slash", "a>>b", "emma", "Cam_41"):
        put("Record", name, "MusicalInstrument")
    put("Record", "A1", "Analysis", instrument="Nice Guitar", quality=0.9, link=[12], p="v")
    first_guitar = one.ask("FIND RECORD WITH name='My first guitar'")[1].get("id", "")
    put("Record", "A2", "Analysis", quality=0.1, link=[13, first_guitar])
    put("Record", "A3", "Analysis")
    put("Record", "MA", "MusicalAnalysis", quality_factor=0.9, date="2019-05-01")
    put("Record", "MB", "MusicalAnalysis", quality_factor=0.9, date="2020-05-01")


def build_experiments(one: Museum) -> None:
    put = one.put
    put("Record", "m1", "Measurement", index=1)
    put("Record", "m2", "Measurement", index=1)
    put("Record", "em", "M", index=1)
    put("Record", "en", "M", index=1)
    numbers = {name: one.ask(f"FIND RECORD WITH name={name}")[1].get("id", "") for name in ("m1", "em", "en")}
    put("Record", "hub", "Hub", 128, link=[118, numbers["m1"]])
    put("Record", "hub 1", "Hub", 1, link=[numbers["em"], numbers["en"]])
    put("Record", "hub 2", "Hub", 2, link=[numbers["em"]])
    put("Record", "L1", "Lens", focal=50)
    put("Record", "C1", "Camera", serial=5, brand="X", lens="L1")
    put("Record", "C2", "Camera", serial=6, brand="X")
    put("Record", "E1", "Experiment", camera="C1", date="2015-04-03")
    put("Record", "E2", "Experiment", camera="C2", date="2015-04-03T12:00:00+0200")
    put("Record", "E3", "Experiment", date="2020-01-01", responsible=[118])
    put("Record", "E4", "Experiment", date="2015-01")
    put("Record", "P1", "Project")
    put("Record", "B1", "Box", items=[3, 5])
    put("Record", "B2", "Box", items=[3])
    put("Record", "run", "CrawlerRun", run_id="c0ffee-00")
    put("Record", "scan", "Scan", val=0.5, valid="TRUE", txt="a" * 300)


def build_files(one: Museum, root: Path) -> None:
    for path in FILES:
        (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (root / path[1:]).touch()
        is_image = path.endswith("png")
        one.put("File", f"file {path}", "Image" if is_image else "", path_=path, **({"size_um": 7} if is_image else {}))


def build_past(one: Museum) -> None:
    one.change("S-2", "by another", "erwin")
    one.change("S-5", "a leaf", "me", drop="p1")
    for name, created in (("S-1", _at(2014, 12, 24)), ("S-3", _at(2020, 6, 1)), ("S-6", _at(2021, 5, 3))):
        one.sql("UPDATE entity SET created_at = ? WHERE name = ?", created, name)
    one.sql("UPDATE entity SET changed_at = ? WHERE name = 'S-2'", _at(2021, 5, 10))


GUITARS = ["My first guitar", "Nice Guitar", "axe"]
INSTRUMENTS = [*GUITARS, "a*b", "it's", 'say "hi"', "back\\slash", "a>>b", "emma", "Cam_41"]
PEOPLE = ["Twelve", "Thirteen", "Pia", "Quentin", "Rita", "Ann", "Bob", "Nina"]
SAMPLES = [f"S-{number}" for number in range(1, 8)]
ALL_TYPES = ["Base", "Parent", "Human", *TYPES]
ALL_PROPERTIES = [*PROPERTIES, *REFERENCES]
LONG = (
    "FIND Sample WHICH HAS A p1=1 AND DOESN'T HAVE A p2<2 AND ((WHICH HAS A p3=3 AND A p4=4) OR DOES NOT HAVE A "
    "(p5=5 AND p6=6))"
)
EXAMPLES: list[tuple[str, list[str] | int]] = [
    # A. query kind, role, entity
    ("FIND MusicalInstrument", INSTRUMENTS),
    ("find musicalinstrument", INSTRUMENTS),
    ("FIND RECORD MusicalInstrument", INSTRUMENTS),
    ("FIND RECORDS MusicalInstrument", INSTRUMENTS),
    ("FIND ENTITY Guitar", ["Guitar", "ElectricGuitar", *GUITARS]),
    ("FIND RECORDTYPE Guitar", ["Guitar", "ElectricGuitar"]),
    ("FIND RECORDTYPE 'Project'", ["Project", "SubProject"]),
    ("FIND RECORDTYPE LIST_of_things", ["LIST_of_things"]),
    ("FIND PROPERTY", ALL_PROPERTIES),
    ("FIND FILE", list(FILES)),
    ("FIND RECORDTYPE", ALL_TYPES),
    ("FIND QUERYTEMPLATE", []),
    ("FIND 'My first guitar'", ["My first guitar"]),
    ('FIND "Nice Guitar"', ["Nice Guitar"]),
    ("FIND RECORD Nice Guitar", ["Nice Guitar"]),
    ("FIND RECORD Nice*", ["Nice Guitar"]),
    # a pattern that the type Guitar matches too, and so all that is below it
    ("FIND RECORD '*guitar'", GUITARS),
    (r"FIND RECORD 'a\*b'", ["a*b"]),
    (r"FIND RECORD 'it\'s'", ["it's"]),
    (r'FIND RECORD "say \"hi\""', ['say "hi"']),
    (r"FIND RECORD 'back\\slash'", ["back\\slash"]),
    ("FIND RECORD <<e[aemn]{2,5}>>", ["emma"]),
    ("FIND RECORD <<[cC]am_[0-9]*>>", ["Cam_41"]),
    (r"FIND RECORD <<a\>>b>>", ["a>>b"]),
    ("FIND 4711", ["Nina"]),
    ("FIND ENTITY 4711", ["Nina"]),
    ("FIND ENTITY '106' WITH name='Alice'", ["Alice"]),
    ("COUNT MusicalInstrument", len(INSTRUMENTS)),
    ("COUNT RecordType Parent with id=105", 1),
    ('COUNT Property "length"', 2),
    ("COUNT Person WITH id=12", 1),
    ("SELECT name FROM RECORDTYPE", ALL_TYPES),
    ("SELECT name, id FROM 'Person'", PEOPLE),
    ("SELECT p1, p2, p3 FROM RECORD Sample", SAMPLES),
    ("SELECT p1.sp1, p1.sp2, p2 FROM Sample", SAMPLES),
    ("SELECT length.unit, length.value FROM Sample", SAMPLES),
    ("SELECT 'my prop', \"other.prop\" FROM Sample", SAMPLES),
    ("SELECT parent, version, id FROM Sample WITH p1", SAMPLES[:5]),
    ("FIND ANY VERSION OF Sample WITH p1=5", ["S-2", "S-2", "S-5"]),
    ("FIND ANY VERSION OF RECORD Sample", sorted([*SAMPLES, "S-2", "S-5"])),
    # B. introducing filters
    *((text, ["S-2"]) for text in (
        "FIND Sample.p1=5", "FIND Sample WITH p1=5", "FIND Sample WHICH HAS A p1=5",
        "FIND Sample WHICH HAS A PROPERTY p1=5", "FIND Sample WITH A PROPERTY p1=5", "FIND Sample WITH PROPERTY p1=5",
        "FIND Sample WHERE p1=5", "FIND Sample . p1 = 5", "FIND Sample HAVING p1=5", "FIND Sample WHICH HAVE A p1=5",
        "FIND WITH p1=5",
    )),
    ("FIND Sample THAT HAS AN age=5", ["S-4"]),
    ("FIND RECORD 'Person' WITH 'first_name'='Ann' ", ["Ann"]),
    # C. existence
    ("FIND Guitar WHICH HAS A PROPERTY price", GUITARS[:2]),
    ("FIND Guitar WITH price", GUITARS[:2]),
    ("FIND Guitar.price", GUITARS[:2]),
    ("FIND RECORD WITH barcode", ["S-1"]),
    ("FIND RECORD Sample WITH 'my prop'", ["S-6"]),
    ("FIND Sample WITH length", ["S-1", "S-2", "S-3", "S-5"]),
    ("FIND Sample WITH 105", ["S-6"]),
    ("FIND Sample WITH len*", ["S-1", "S-2", "S-3", "S-5"]),
    # D. comparison
    ("FIND Guitar WITH price > 10000", ["Nice Guitar"]),
    ("FIND Sample WITH p1 != 5", ["S-1", "S-3", "S-4"]),
    ("FIND Sample WITH p1 >= 5 AND p1 <= 7", ["S-2", "S-3"]),
    ("FIND Sample WITH p1 < -1.5e-3", ["S-4"]),
    ("FIND RECORD 'Sample' WITH 'barcode'='1' ", ["S-1"]),
    ("FIND RECORD 'Scan' WITH 'val'='0.5' ", ["scan"]),
    ("FIND RECORD 'Scan' WITH 'valid'='TRUE' ", ["scan"]),
    ("FIND Sample WITH valid = false", ["S-2"]),
    ('FIND Sample WITH note = "some text"', ["S-2"]),
    ("FIND Sample WITH note = some text AND p1 = 5", ["S-2"]),
    ("FIND RECORD CrawlerRun WITH run_id='c0ffee-00'", ["run"]),
    ("FIND Sample WITH > 5", ["S-1", "S-3", "S-4"]),
    ("FIND Sample.>5", ["S-1", "S-3", "S-4"]),
    ('FIND Sample WHICH HAS A PROPERTY = "x"', ["S-6"]),
    ("FIND Sample WITH note LIKE va*", ["S-1", "S-5"]),
    ("FIND Sample WITH note LIKE va*1", ["S-1"]),
    ("FIND Sample WITH note LIKE *al1", ["S-1"]),
    (r"FIND Sample WITH note LIKE '*100\*'", ["S-5"]),
    ("FIND RECORD 'Scan' WITH 'txt' LIKE 'aaaa*' ", ["scan"]),
    ("FIND Sample WITH note LIKE <<v.l[0-9]+>>", ["S-1"]),
    ("FIND Sample WITH note = ''", ["S-3"]),
    ("FIND Sample WITH note != ''", ["S-1", "S-2", "S-5"]),
    ("FIND RECORD 'Person' WITH 'first_name' IS NULL ", ["Bob"]),
    ("FIND Sample WITH note IS NOT NULL", ["S-1", "S-2", "S-3", "S-5"]),
    ("FIND Sample WITH note IS EMPTY", ["S-3"]),
    ("FIND RECORD 'Box' WITH 'items'='3' AND 'items'='5' ", ["B1"]),
    # E. attributes
    ("FIND ENTITY WITH name='first_name'", ["first_name"]),
    ("FIND RECORDTYPE WITH name='Person'", ["Person"]),
    ("FIND RECORD 'Project' WITH name='P1'", ["P1"]),
    ("FIND Sample WITH name LIKE 'S-*'", SAMPLES),
    ("FIND Sample WITH description LIKE '*leaf*'", ["S-5"]),
    ("FIND ENTITY WITH id='118'", ["Pia"]),
    ("FIND ENTITY WITH ID=118 OR ID=119 OR ID=120", ["Pia", "Quentin", "Rita"]),
    ("FIND ENTITY with id=101", ["Base"]),
    ("FIND ENTITY WITH id IN (1, 2, 3)", ["hub 1", "hub 2"]),
    ("FIND Sample WITH THE GREATEST id", ["S-7"]),
    # F. references
    ("FIND Sample WITH owner=Ann", ["S-1", "S-3"]),
    ("FIND Sample WITH owner=4711", ["S-2", "S-4"]),
    ("FIND Sample WITH owner -> Ann", ["S-1"]),
    ("FIND Sample WHICH HAS A owner REFERENCE TO Ann", ["S-1"]),
    ("FIND Sample WHICH HAS A PROPERTY owner REFERENCES Ann", ["S-1"]),
    ("FIND Analysis WHICH REFERENCES A Guitar", ["A1", "A2"]),
    ("FIND Analysis WHICH REFERENCES Guitar AS A instrument", ["A1"]),
    ("FIND ENTITY WHICH references 4711", ["S-2", "S-4"]),
    ("FIND Record Analysis which references 12 or which references 13", ["A1", "A2"]),
    ("FIND Record Analysis WITH references 12 AND 'p'='v' ", ["A1"]),
    ("FIND Analysis . -> Guitar", ["A1", "A2"]),
    ("FIND Sample WITH REFERENCE", ["S-1", "S-2", "S-4", "S-6"]),
    ("FIND Sample WITH owner -> '4711@abcdef'", ["S-4"]),
    # G. back references
    ("FIND RECORD Person WHICH IS REFERENCED BY 128", ["Pia"]),
    ("FIND RECORD 'Measurement' WHICH IS REFERENCED BY 128 AND WITH 'index'='1' ", ["m1"]),
    ("FIND RECORD 'M' WHICH IS REFERENCED BY 1 AND WHICH IS REFERENCED BY 2 AND WITH 'index'='1' ", ["em"]),
    ("FIND Guitar WHICH IS REFERENCED BY Analysis AS A instrument", ["Nice Guitar"]),
    ("FIND Guitar WHICH IS REFERENCED BY AN Analysis", GUITARS[:2]),
    ("FIND Guitar WITH @ Analysis / instrument", ["Nice Guitar"]),
    ("FIND Guitar . @ Analysis", GUITARS[:2]),
    ("FIND Guitar WHICH IS REFERENCED", GUITARS[:2]),
    ("FIND Guitar WHICH IS NOT REFERENCED BY Analysis", ["axe"]),
    ("FIND Guitar WHICH IS REFERENCED BY Analysis WITH quality > 0.5", ["Nice Guitar"]),
    ("FIND Guitar WHICH IS REFERENCED BY Analysis AS A instrument WITH quality > 0.5 AND price > 5", ["Nice Guitar"]),
    # H. sub-properties
    *((text, ["E1"]) for text in (
        "FIND Experiment WITH camera.serial = 5", "FIND Experiment WHICH HAS A camera WHICH HAS A serial = 5",
        "FIND Experiment.camera.lens.focal > 35", "FIND Experiment WITH camera WITH serial = 5",
        "FIND Experiment WITH camera WITH (serial = 5 AND brand = X)",
        "FIND Experiment WHICH REFERENCES Camera WITH serial = 5", "FIND Experiment WITH camera.name = 'C1'",
        "FIND Experiment WITH camera -> Camera WITH serial = 5",
    )),
    # I. dates
    ("FIND Experiment WITH date = 2015-04-03", ["E1"]),
    ("FIND Experiment WITH date > 2015", ["E3"]),
    ("FIND MusicalAnalysis WITH quality_factor>0.5 AND date IN 2019", ["MA"]),
    ("FIND Experiment WITH date IN 2015-04", ["E1", "E2"]),
    ("FIND Experiment WITH date NOT IN 2015", ["E3"]),
    ("FIND Experiment WITH date IN '2015-04-03'", ["E1", "E2"]),
    ("FIND Experiment WITH date >= '2015-04-03T10:00:00+0200'", ["E2", "E3"]),
    ("FIND Experiment WITH date IN (2015-04)", ["E1", "E2"]),
    ("FIND Experiment WITH date != 2015-04-03", ["E3", "E4"]),
    ("FIND RECORD 'Experiment' WITH 'date'='2020-01-01' AND 'responsible'='118' ", ["E3"]),
    ("FIND Experiment WHICH DOESN'T HAVE A date=2015-01", ["E1", "E2", "E3"]),
    # J. transactions
    ("FIND Sample CREATED BY ME", SAMPLES[:5]),
    ("FIND Sample WHICH HAS BEEN CREATED BY ME ON 2014-12-24", ["S-1"]),
    ("FIND Sample WHICH HAS BEEN INSERTED BY erwin", ["S-6"]),
    ("FIND Sample WHICH WAS UPDATED BY SOMEONE ELSE", ["S-2"]),
    ("FIND Sample WHICH IS CREATED BY SOMEONE ELSE BUT erwin", [*SAMPLES[:5], "S-7"]),
    ("FIND Sample WHICH IS CREATED BY SOMEONE ELSE BUT ME", ["S-6", "S-7"]),
    ("FIND Sample WHICH WAS CREATED TODAY", ["S-2", "S-4", "S-5", "S-7"]),
    ("FIND Sample WHICH WAS UPDATED SINCE 2021-05", ["S-2", "S-5"]),
    ("FIND Sample WHICH WAS UPDATED UNTIL 2021-05", ["S-2"]),
    ("FIND Sample WHICH WAS INSERTED BEFORE 2021", ["S-1", "S-3"]),
    ("FIND Sample WHICH WAS INSERTED AFTER 2021", ["S-2", "S-4", "S-5", "S-7"]),
    ("FIND Sample WHICH WAS INSERTED ON 2021-05-03 BY erwin", ["S-6"]),
    ("FIND Sample WHICH HAS NOT BEEN UPDATED BY ME", ["S-1", "S-2", "S-3", "S-4", "S-6", "S-7"]),
    ("FIND Sample INSERTED BY e*", ["S-6"]),
    # K. files
    ("FIND FILE WHICH IS STORED AT '/proj/f1.dat'", ["/proj/f1.dat"]),
    ('FIND FILE . STORED AT "/a.txt"', ["/a.txt"]),
    ("FIND file which is stored at /data/*.acq", ["/data/x.acq"]),
    ("FIND FILE WHICH IS STORED AT '/data/**'", list(IN_DATA)),
    ("FIND FILE WHICH IS STORED AT /data/", ["/data/x.acq", "/data/a*b.txt", "/data/a.txt", "/data/img.png"]),
    ("FIND FILE WHICH IS STORED AT *.acq", ["/r.acq", "/data/x.acq", "/data/sub/y.acq", "/data/raw/z.acq"]),
    ("FIND FILE WHICH IS STORED AT /*/*.acq", ["/data/x.acq"]),
    ("FIND FILE WHICH IS STORED AT /**/raw/**", ["/data/raw/z.acq"]),
    ("FIND FILE WHICH IS STORED AT 'data/a.txt'", ["/data/a.txt"]),
    (r"FIND FILE WHICH IS STORED AT '/data/a\*b.txt'", ["/data/a*b.txt"]),
    ("FIND FILES WHICH ARE STORED AT /data/**", list(IN_DATA)),
    ("FIND FILE WHICH IS NOT STORED AT /data/**", list(FILES[:3])),
    ("FIND FILE Image WHICH IS STORED AT /data/** AND WITH size_um > 5", ["/data/img.png"]),
    # L. logic
    *((text, ["S-1"]) for text in (
        "FIND Sample WITH p1=1 AND p2=2 AND p3=3", "FIND Sample WHICH HAS A PROPERTY p1=1 AND A PROPERTY p2=2",
        "FIND Sample WHICH HAS A p1=1 AND HAS A p2=2", "FIND Sample . p1=1 & p2=2 & p3=3",
        "FIND Sample.p1=1&!p2<2&((p3=3&p4=4)|!p5=5)", "FIND Sample WITH (p1=1)",
        LONG,
    )),
    ("FIND Sample WITH p1=1 OR p2=2", ["S-1", "S-2"]),
    ("FIND Sample.p1=1|p2=2", ["S-1", "S-2"]),
    *((text, SAMPLES[1:]) for text in (
        "FIND Sample WHICH DOES NOT HAVE A PROPERTY p1=1", "FIND Sample WHICH DOESN'T HAVE A p1=1",
        "FIND Sample . NOT p1=1", "FIND Sample.!p1=1",
    )),
    ("FIND Sample WITHOUT p1", ["S-6", "S-7"]),
    ("FIND Sample WITH NOT p1", ["S-6", "S-7"]),
    ("FIND Sample WITH p1=1 AND p2=2 OR p3=3", ["S-1", "S-3"]),
    # M. minimum and maximum
    ("FIND Sample WITH THE GREATEST length", ["S-3"]),
    ("FIND Sample WHICH HAS THE SMALLEST length", ["S-1"]),
    ("FIND Sample WITH THE GREATEST length AND p1=5", []),
    ("FIND Sample WITH MAX length", ["S-3"]),
    # N. units
    ("FIND Sample WITH length > 5 mm", ["S-2", "S-3"]),
    ("FIND Sample WITH length>5mm", ["S-2", "S-3"]),
    ("FIND Sample WITH length = '5 mm'", ["S-5"]),
    ("FIND Sample WITH speed < 3.6 km/h", ["S-6"]),
    ("FIND Guitar WITH weight > 5", ["Nice Guitar"]),
]  # fmt: skip


@pytest.mark.parametrize(("query", "expected"), EXAMPLES)
def test_an_example_of_the_reference_finds_what_it_says(museum: Museum, query: str, expected: list[str] | int) -> None:
    count, names = museum.find(query)
    if isinstance(expected, int):
        assert (count, names) == (expected, [])
    else:
        assert sorted(names) == sorted(expected)
        assert count == len(expected)


def test_entities_are_counted_and_listed_without_the_internal_ones(museum: Museum) -> None:
    below = ("hub 1", "hub 2", "Twelve", "Thirteen")
    with museum.application.database.read() as connection:
        everything = {row[0] for row in connection.execute("SELECT name FROM entity WHERE id > 24 AND id NOT IN (1,2)")}
    total = len(everything - set(below))
    assert museum.find("COUNT Entity") == (total, [])
    assert museum.find("FIND ENTITY WITH ID>99")[0] == total


def test_the_examples_are_all_there() -> None:
    assert len({query for query, _ in EXAMPLES}) == 192  # with the two of the test above, 194
