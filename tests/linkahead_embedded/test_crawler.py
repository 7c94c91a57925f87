from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from caoscrawler.crawl import Crawler, SecurityMode
from caoscrawler.identifiable_adapters import CaosDBIdentifiableAdapter
from caoscrawler.scanner import scan_directory

from tests.linkahead_embedded.conftest import Site

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

CFOOD = r"""
---
metadata:
  crawler-version: 0.15.0
---
root:
  type: Directory
  match: ^study$
  records:
    Project:
      name: P1
  subtree:
    scan:
      type: JSONFile
      match: ^(?P<stem>scan_\d+)\.json$
      records:
        File:
          parents: [RawFile]
          role: File
          path: $scan.path
          file: $scan.path
        Scan:
          Project: $Project
          raw: $File
      subtree:
        content:
          type: DictElement
          match: .*
          subtree:
            number:
              type: IntegerElement
              match_name: ^number$
              match_value: '(?P<v>.*)'
              records: {Scan: {number: $v}}
            factor: {type: FloatElement, match_name: ^factor$, match_value: '(?P<v>.*)', records: {Scan: {factor: $v}}}
            ok: {type: BooleanElement, match_name: ^ok$, match_value: '(?P<v>.*)', records: {Scan: {ok: $v}}}
            note: {type: TextElement, match_name: ^note$, match_value: '(?P<v>(?s:.*))', records: {Scan: {note: $v}}}
            when: {type: TextElement, match_name: ^when$, match_value: '(?P<v>.*)', records: {Scan: {when: $v}}}
            tags:
              type: ListElement
              match_name: ^tags$
              subtree:
                tag: {type: TextElement, match_value: '(?P<v>.*)', records: {Scan: {tags: +$v}}}
"""
IDENTIFIABLES = """
Project: [name]
Scan: [number, Project]
"""


def prepare(site: Site) -> Path:
    client = site.client
    client.Container().extend(
        [
            client.RecordType("Project"),
            client.RecordType("Scan"),
            client.RecordType("RawFile"),
            client.Property("number", datatype=client.INTEGER),
            client.Property("factor", datatype=client.DOUBLE, unit="mm"),
            client.Property("ok", datatype=client.BOOLEAN),
            client.Property("note", datatype=client.TEXT, description="free text"),
            client.Property("when", datatype=client.DATETIME),
            client.Property("tags", datatype=client.LIST(client.TEXT)),
            client.Property("raw", datatype=client.FILE),
        ]
    ).insert()
    study = site.root / "study"
    study.mkdir()
    for number in range(3):
        (study / f"scan_{number}.json").write_text(json.dumps(scan(number)), encoding="utf-8")
    return study


def scan(number: int) -> dict[str, Any]:
    return {
        "number": number,
        "factor": number + 0.5,
        "ok": bool(number % 2),
        "note": f'it\'s "näive" \\ 100 * {number}',
        "when": f"2020-01-0{number + 1} 10:11:12.500000",
        "tags": ["b", "a", f"n{number}"],
    }


def crawl(site: Site, study: Path, tmp_path: Path) -> tuple[int, int]:
    cfood, identifiables = tmp_path / "cfood.yml", tmp_path / "identifiables.yml"
    cfood.write_text(CFOOD, encoding="utf-8")
    identifiables.write_text(IDENTIFIABLES, encoding="utf-8")
    for path in sorted(study.glob("*.json")):
        if not site.client.execute_query(f"COUNT FILE WHICH IS STORED AT '/study/{path.name}'"):
            site.client.File(path=f"/study/{path.name}").add_parent("RawFile").insert()
    adapter = CaosDBIdentifiableAdapter()
    adapter.load_from_yaml_definition(str(identifiables))
    crawler = Crawler(securityMode=SecurityMode.UPDATE, identifiableAdapter=adapter)
    records = scan_directory(str(study), str(cfood))
    for record in records:
        if record.role == "File":
            record.path = "/" + str(Path(record.path).relative_to(site.root))
            record.file = None
    inserts, updates = crawler.synchronize(commit_changes=True, unique_names=True, crawled_data=records)
    return len(inserts), len(updates)


def test_a_new_tree_is_inserted_an_unchanged_one_is_left_alone_and_a_changed_record_is_updated(
    site: Site, tmp_path: Path
) -> None:
    study = prepare(site)
    assert crawl(site, study, tmp_path) == (4, 0)
    assert crawl(site, study, tmp_path) == (0, 0)

    scans = site.client.execute_query("FIND Scan")
    assert Counter(record.get_property("number").value for record in scans) == Counter([0, 1, 2])
    first = site.client.execute_query("FIND Scan WITH number=1", unique=True)
    assert first.get_property("factor").value == 1.5
    assert first.get_property("factor").unit == "mm"
    assert first.get_property("ok").value is True
    assert first.get_property("note").value == 'it\'s "näive" \\ 100 * 1'
    assert first.get_property("tags").value == ["b", "a", "n1"]
    assert first.get_property("when").value == "2020-01-02 10:11:12.500000"

    changed = scan(1) | {"factor": 9.0, "tags": ["a"]}
    (study / "scan_1.json").write_text(json.dumps(changed), encoding="utf-8")
    assert crawl(site, study, tmp_path) == (0, 1)
    assert site.client.execute_query("FIND Scan WITH number=1", unique=True).get_property("factor").value == 9.0
    assert crawl(site, study, tmp_path) == (0, 0)


def test_a_record_known_by_who_references_it_is_found_again(site: Site) -> None:
    client = site.client
    client.Container().extend(
        [client.RecordType("Box"), client.RecordType("Item"), client.Property("index", datatype=client.INTEGER)]
    ).insert()

    def synchronize() -> tuple[int, int]:
        adapter = CaosDBIdentifiableAdapter()
        adapter.register_identifiable("Box", client.RecordType("Box").add_parent("Box").add_property("name"))
        adapter.register_identifiable(
            "Item",
            client.RecordType("Item")
            .add_parent("Item")
            .add_property("index")
            .add_property("is_referenced_by", value=["Box"]),
        )
        items = [client.Record().add_parent("Item").add_property("index", number) for number in range(2)]
        box = client.Record("B1").add_parent("Box").add_property("Item", items, datatype=client.LIST("Item"))
        inserts, updates = Crawler(securityMode=SecurityMode.UPDATE, identifiableAdapter=adapter).synchronize(
            commit_changes=True, unique_names=True, crawled_data=[box, *items]
        )
        return len(inserts), len(updates)

    assert synchronize() == (3, 0)
    assert synchronize() == (0, 0)
    assert client.execute_query("COUNT Item WHICH IS REFERENCED BY B1 AND WITH index=1") == 1
