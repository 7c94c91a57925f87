"""The crawler with every kind of converter that it brings."""

from __future__ import annotations

import json
import re
import zipfile
from importlib import resources
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import openpyxl
import pandas as pd
import pyreadstat
import pytest
import yaml
from caoscrawler.converters import Converter, hdf5_converter, rocrate, spss, zipfile_converter
from caoscrawler.crawl import Crawler, SecurityMode
from caoscrawler.identifiable_adapters import CaosDBIdentifiableAdapter
from caoscrawler.scanner import scan_directory
from caoscrawler.stores import GeneralStore
from rocrate.rocrate import ROCrate

from tests.linkahead_embedded.conftest import Site

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CFOOD = r"""
---
metadata:
  crawler-version: 0.15.0
---
Converters:
  ZipFile: {converter: ZipFileConverter, package: caoscrawler.converters.zipfile_converter}
  H5File: {converter: H5FileConverter, package: caoscrawler.converters.hdf5_converter}
  H5Dataset: {converter: H5DatasetConverter, package: caoscrawler.converters.hdf5_converter}
  H5Ndarray: {converter: H5NdarrayConverter, package: caoscrawler.converters.hdf5_converter}
  ROCrate: {converter: ROCrateConverter, package: caoscrawler.converters.rocrate}
  ELNFile: {converter: ELNFileConverter, package: caoscrawler.converters.rocrate}
  ROCrateEntity: {converter: ROCrateEntityConverter, package: caoscrawler.converters.rocrate}
  Split: {converter: SplitTextConverter, package: caoscrawler.converters}
  Change: {converter: TransformTextConverter, package: caoscrawler.converters}
root:
  type: Directory
  match: ^data$
  subtree:
    plain:
      type: SimpleFile
      match: ^(?P<stem>plain)_(?P<number>\d+)\.txt$
      records: {Item: {parents: [Item], name: $stem, number: $number}}
    readme:
      type: MarkdownFile
      match: ^README\.md$
      records: {Item: {parents: [Item], name: markdown}}
      subtree:
        title: {type: TextElement, match_name: ^title$, match_value: '(?P<v>.*)', records: {Item: {text: $v}}}
        people:
          type: ListElement
          match_name: ^people$
          subtree:
            one: {type: TextElement, match_value: '(?P<v>.*)', records: {Item: {texts: +$v}}}
    tree:
      type: YAMLFile
      match: ^tree\.yaml$
      records: {Item: {parents: [Item], name: yaml}}
      subtree:
        content:
          type: Dict
          match: .*
          subtree:
            inner:
              type: Dict
              match_name: ^inner$
              subtree:
                n: {type: IntegerElement, match_name: number, match_value: '(?P<v>.*)', records: {Item: {number: $v}}}
                f: {type: FloatElement, match_name: factor, match_value: '(?P<v>.*)', records: {Item: {factor: $v}}}
                flag: {type: BooleanElement, match_name: flag, match_value: '(?P<v>.*)', records: {Item: {flag: $v}}}
            words:
              type: Split
              match_name: ^words$
              match_value: .*
              sep: ";"
              subtree:
                word: {type: TextElement, match_value: '(?P<v>.*)', records: {Item: {texts: +$v}}}
            loud:
              type: Change
              match_name: ^loud$
              match_value: .*
              transformer: replace
              parameters: {remove: a, insert: o}
              subtree:
                changed: {type: TextElement, match_value: '(?P<v>.*)', records: {Item: {text: $v}}}
    object:
      type: JSONFile
      match: ^object\.json$
      records: {Item: {parents: [Item], name: json}}
      subtree:
        content:
          type: Dict
          match: .*
          subtree:
            day:
              type: Date
              match_name: ^day$
              match_value: (?P<date>.*)
              date_format: "%d.%m.%Y"
              records: {Item: {when: "day ${date}"}}
            moment:
              type: Datetime
              match_name: ^moment$
              match_value: (?P<val>.*)
              datetime_format: "%Y/%m/%d %H:%M"
              records: {Item: {text: $val}}
    generic:
      type: JSONFile
      match: ^generic\.json$
      subtree:
        all:
          type: PropertiesFromDictElement
          match: .*
          record_from_dict:
            variable_name: Generic
            name: from a dict
            parents: [Item]
            references: {partner: {parents: [Item]}}
            properties_blacklist: [secret]
    old_style:
      type: JSONFile
      match: ^old\.json$
      records: {Item: {parents: [Item], name: deprecated names}}
      subtree:
        content:
          type: Dict
          match: .*
          subtree:
            d:
              type: DictDictElement
              match_name: ^d$
              subtree:
                n: {type: DictIntegerElement, match_name: n, match_value: '(?P<v>.*)', records: {Item: {number: $v}}}
                f: {type: DictFloatElement, match_name: f, match_value: '(?P<v>.*)', records: {Item: {factor: $v}}}
                b: {type: DictBooleanElement, match_name: b, match_value: '(?P<v>.*)', records: {Item: {flag: $v}}}
                t: {type: DictTextElement, match_name: t, match_value: '(?P<v>.*)', records: {Item: {text: $v}}}
                l:
                  type: DictListElement
                  match_name: ^l$
                  subtree:
                    one: {type: TextElement, match_value: '(?P<v>.*)', records: {Item: {texts: +$v}}}
    table:
      type: CSVTableConverter
      match: ^table\.csv$
      sep: ";"
      subtree: &rows
        row:
          type: DictElement
          match_name: .*
          records: {Item: {parents: [Item]}}
          subtree:
            name: {type: TextElement, match_name: ^name$, match_value: '(?P<v>.*)', records: {Item: {name: $v}}}
            n: {type: IntegerElement, match_name: ^number$, match_value: '(?P<v>.*)', records: {Item: {number: $v}}}
    sheet: {type: XLSXTableConverter, match: ^sheet\.xlsx$, subtree: *rows}
    survey: {type: SPSSFile, match: ^survey\.sav$, subtree: *rows}
    signals:
      type: H5File
      match: ^signals\.h5$
      records: {Item: {parents: [Item], name: hdf5}}
      subtree:
        about: {type: TextElement, match_name: ^about$, match_value: '(?P<v>.*)', records: {Item: {text: $v}}}
        channels: {type: ListElement, match_name: ^channels$, subtree: &channels
          {one: {type: TextElement, match_value: '(?P<v>.*)', records: {Item: {texts: +$v}}}}}
        dataset:
          type: H5Dataset
          match_name: ^series$
          subtree:
            rate: {type: IntegerElement, match_name: ^rate$, match_value: '(?P<v>.*)', records: {Item: {number: $v}}}
            gain: {type: FloatElement, match_name: ^gain$, match_value: '(?P<v>.*)', records: {Item: {factor: $v}}}
            array:
              type: H5Ndarray
              match_name: ^dataset_ndarray$
              recordname: Array
              array_recordtype_name: Item
              internal_path_property_name: text
              records: {Array: {name: an array, partner: $Item}}
    crate:
      type: ROCrate
      match: ^crate\.zip$
      subtree: &crate
        thing:
          type: ROCrateEntity
          match_entity_type: ^Dataset$
          subtree:
            inside:
              type: ROCrateEntity
              match_entity_type: ^File$
              records: {Item: {parents: [Item]}}
              subtree:
                name: {type: TextElement, match_name: ^name$, match_value: '(?P<v>.*)', records: {Item: {name: $v}}}
                description:
                  type: TextElement
                  match_name: ^description$
                  match_value: '(?P<v>.*)'
                  records: {Item: {text: $v}}
    notebook: {type: ELNFile, match: ^notebook\.eln$, subtree: *crate}
    document:
      type: XMLFile
      match: ^document\.xml$
      subtree:
        thing:
          type: XMLTag
          match_tag: ^thing$
          attribs_as_children: true
          text_as_children: true
          tags_as_children: false
          xpath: "."
          records: {Item: {parents: [Item], name: xml}}
          subtree:
            attribute:
              type: XMLAttributeNode
              match_name: ^n$
              match_value: '(?P<v>.*)'
              records: {Item: {number: $v}}
            text: {type: XMLTextNode, match_text: '(?P<v>.*)', records: {Item: {text: $v}}}
    packed:
      type: ZipFile
      match: ^packed\.zip$
      subtree:
        inside:
          type: SimpleFile
          match: ^(?P<stem>zipped)_(?P<number>\d+)\.txt$
          records: {Item: {parents: [Item], name: $stem, number: $number}}
"""
#: What is in the database afterwards, by name.
EXPECTED: dict[str, dict[str, Any]] = {
    "plain": {"number": 17},
    "markdown": {"text": "A title", "texts": ["Ann", "Bob"]},
    "yaml": {"number": 3, "factor": 0.25, "flag": True, "texts": ["a", "b c"], "text": "bonono"},
    "json": {"when": "day 2024-02-29", "text": "2024-02-29T10:30:00"},
    "from a dict": {"number": 5, "texts": ["x", "y"], "partner": "the partner"},
    "the partner": {"text": "nested"},
    "deprecated names": {"number": 1, "factor": 1.5, "flag": False, "text": "t", "texts": ["l"]},
    "first row": {"number": 1},
    "second row": {"number": 2},
    "sheet row": {"number": 3},
    "survey row": {"number": 6},
    "hdf5": {"text": "two channels", "texts": ["a", "b"], "number": 500, "factor": 2.5},
    "an array": {"text": "/series", "partner": "hdf5"},
    "in a crate": {"text": "what a crate says of it"},
    "in a notebook": {"text": "what a notebook says of it"},
    "xml": {"number": 8, "text": "the text"},
    "zipped": {"number": 4},
}


def write_data(folder: Path) -> None:
    folder.mkdir()
    (folder / "plain_17.txt").touch()
    (folder / "README.md").write_text("---\ntitle: A title\npeople:\n- Ann\n- Bob\n...\n\ntext\n", encoding="utf-8")
    tree = {"inner": {"number": 3, "factor": 0.25, "flag": True}, "words": "a;b c", "loud": "banana"}
    (folder / "tree.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    dates = {"day": "29.02.2024", "moment": "2024/02/29 10:30"}
    (folder / "object.json").write_text(json.dumps(dates), encoding="utf-8")
    generic = {
        "secret": "s",
        "number": 5,
        "texts": ["x", "y"],
        "partner": {"name": "the partner", "text": "nested"},
    }
    (folder / "generic.json").write_text(json.dumps(generic), encoding="utf-8")
    old = {"d": {"n": 1, "f": 1.5, "b": False, "t": "t", "l": ["l"]}}
    (folder / "old.json").write_text(json.dumps(old), encoding="utf-8")
    (folder / "table.csv").write_text("name;number\nfirst row;1\nsecond row;2\n", encoding="utf-8")
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["name", "number"])
    sheet.append(["sheet row", 3])
    book.save(folder / "sheet.xlsx")
    (folder / "document.xml").write_text('<thing n="8">the text</thing>', encoding="utf-8")
    with zipfile.ZipFile(folder / "packed.zip", "w") as archive:
        archive.writestr("zipped_4.txt", "")
    pyreadstat.write_sav(
        pd.DataFrame({"name": ["survey row"], "number": [6]}), folder / "survey.sav", variable_format={"number": "F8.0"}
    )
    with h5py.File(folder / "signals.h5", "w") as signals:
        signals.attrs["about"] = "two channels"
        signals.attrs["channels"] = ["a", "b"]
        series = signals.create_dataset("series", data=np.zeros((3, 2)))
        series.attrs["rate"], series.attrs["gain"] = np.int64(500), np.float64(2.5)
    for kind, target in (("crate", folder / "crate.zip"), ("notebook", folder / "notebook.eln")):
        write_crate(folder.parent / kind, target, kind, is_nested=kind == "notebook")


def write_crate(folder: Path, target: Path, kind: str, *, is_nested: bool) -> None:
    """An RO-Crate with one file; an electronic lab notebook has the same in one folder more."""
    folder.mkdir()
    (folder.parent / f"{kind}.txt").touch()
    crate = ROCrate()
    crate.add_file(
        folder.parent / f"{kind}.txt",
        properties={"name": f"in a {kind}", "description": f"what a {kind} says of it"},
    )
    crate.write(folder)
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, Path(kind if is_nested else "", path.relative_to(folder)))


def crawl(folder: Path, cfood: Path) -> tuple[int, int]:
    adapter = CaosDBIdentifiableAdapter()
    cfood.with_name("identifiables.yml").write_text("Item: [name]\n", encoding="utf-8")
    adapter.load_from_yaml_definition(str(cfood.with_name("identifiables.yml")))
    records = scan_directory(str(folder), str(cfood))
    crawler = Crawler(securityMode=SecurityMode.UPDATE, identifiableAdapter=adapter)
    inserts, updates = crawler.synchronize(commit_changes=True, unique_names=True, crawled_data=records)
    return len(inserts), len(updates)


def test_every_kind_of_converter_makes_its_record_and_makes_it_once(site: Site, tmp_path: Path) -> None:
    client = site.client
    client.Container().extend(
        [
            client.RecordType("Item"),
            client.Property("number", datatype=client.INTEGER),
            client.Property("factor", datatype=client.DOUBLE),
            client.Property("flag", datatype=client.BOOLEAN),
            client.Property("text", datatype=client.TEXT),
            client.Property("texts", datatype=client.LIST(client.TEXT)),
            client.Property("when", datatype=client.TEXT),
            client.Property("partner", datatype="Item"),
        ]
    ).insert()
    write_data(tmp_path / "data")
    cfood = tmp_path / "cfood.yml"
    cfood.write_text(CFOOD, encoding="utf-8")
    assert crawl(tmp_path / "data", cfood) == (len(EXPECTED), 0)
    found = client.execute_query("FIND RECORD Item")
    names = {one.id: one.name for one in found}
    stored = {
        one.name: {prop.name: names[prop.value] if prop.name == "partner" else prop.value for prop in one.properties}
        for one in found
    }
    assert stored == EXPECTED
    assert crawl(tmp_path / "data", cfood) == (0, 0)


#: One that never works (see below), what others are made from, and old names: `Dict...` of what has one without `Dict`.
NOT_MEANT = re.compile(
    r"_.*|H5GroupConverter|(Table|File|Dict|Dict(Boolean|Dict|Float|Integer|List|Text)Element)?Converter"
)


def test_no_converter_of_the_crawler_is_left_out() -> None:
    def below(kind: type[Converter]) -> set[type[Converter]]:
        return {kind}.union(*(below(one) for one in kind.__subclasses__()))

    assert all((hdf5_converter, rocrate, spss, zipfile_converter))
    brought = {kind.__name__ for kind in below(Converter) if kind.__module__.startswith("caoscrawler.")}
    registered = yaml.safe_load(resources.files("caoscrawler").joinpath("default_converters.yml").read_text("utf-8"))
    registered |= list(yaml.safe_load_all(CFOOD))[-1]["Converters"]
    used = {registered[name]["converter"] for name in re.findall(r"\btype: (\w+)", CFOOD)}
    assert {name for name in brought - used if not NOT_MEANT.fullmatch(name)} == set()
    assert {name for name in registered if registered[name]["converter"] not in used} == set()


def test_the_group_converter_of_the_crawler_is_left_out_because_it_ends_every_scan(tmp_path: Path) -> None:
    """In 0.15 it puts a list among its children; if this test fails, the definition above can have an H5Group."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("group")
        children = hdf5_converter.H5GroupConverter({}, "g", {}).create_children(
            GeneralStore(), hdf5_converter.H5GroupElement("group", group)
        )
    assert children == [[]]
