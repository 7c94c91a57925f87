from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import linkahead
import pytest

from heartbrain_ingest import crawl
from heartbrain_ingest.crawl.model import parse_datamodel
from heartbrain_ingest.errors import DatabaseError, RulesError

if TYPE_CHECKING:
    from tests.crawl.conftest import Site

#: The definition of one property, up to the sources of its description.
FLIP_ANGLE = "  datatype: DOUBLE\n  unit: deg\n  description: Flip angle ("

Change = Callable[[str, str], Path]


@pytest.fixture
def changed_model(site: Site, tmp_path: Path) -> Change:
    """Give a function that replaces text in a copy of the shipped data model."""

    def change(before: str, after: str) -> Path:
        text = (site.rules / "datamodel.yml").read_text(encoding="utf-8")
        assert text.count(before) == 1
        path = tmp_path / "datamodel.yml"
        path.write_text(text.replace(before, after), encoding="utf-8")
        return path

    return change


def entity(name: str) -> Any:
    return linkahead.get_entity_by(name=name)


def test_a_model_that_is_loaded_again_changes_nothing(site: Site, tmp_path: Path) -> None:
    crawl.connect(ini=None, database=tmp_path / "linkahead.db", file_root=site.archive)
    assert crawl.load_datamodel(site.rules / "datamodel.yml") is True
    versions = {one.name: one.version.id for one in linkahead.find("FIND ENTITY WITH id > 99")}
    assert crawl.load_datamodel(site.rules / "datamodel.yml") is False
    assert {one.name: one.version.id for one in linkahead.find("FIND ENTITY WITH id > 99")} == versions
    assert set(parse_datamodel(site.rules / "datamodel.yml")) <= versions.keys()


def test_a_loaded_record_type_has_its_properties_with_type_unit_and_description(site: Site, crawled: object) -> None:
    prop = entity("DiffusionWeightedImage").get_property("BValues")
    assert (prop.datatype, prop.unit) == ("LIST<DOUBLE>", "s/mm^2")
    assert prop.description.startswith("b-value of each volume")
    assert [parent.name for parent in entity("DiffusionWeightedImage").parents] == ["MRImage"]


def test_a_marked_model_is_not_compared_again_but_a_new_database_gets_it(site: Site, tmp_path: Path) -> None:
    model, marker = site.rules / "datamodel.yml", tmp_path / "marker"
    crawl.connect(ini=None, database=tmp_path / "one.db", file_root=site.archive)
    assert crawl.load_datamodel(model, marker=marker) is True
    assert crawl.load_datamodel(model, marker=marker) is False
    crawl.connect(ini=None, database=tmp_path / "two.db", file_root=site.archive)
    assert crawl.load_datamodel(model, marker=marker) is True


def test_new_properties_and_descriptions_go_into_a_database_that_has_data(
    site: Site, crawled: Callable[[Path], object], changed_model: Change
) -> None:
    crawled(site.put_session())
    assert crawl.load_datamodel(
        changed_model(
            "\nFlipAngle:\n  datatype: DOUBLE\n  unit: deg\n  description: Flip angle (",
            "\nVendorSecretNumber: {datatype: INTEGER, description: A number}\n"
            "\nFlipAngle:\n  datatype: DOUBLE\n  unit: deg\n  description: Angle of the flip (",
        )
    )
    assert entity("VendorSecretNumber").datatype == "INTEGER"
    assert entity("FlipAngle").description.startswith("Angle of the flip")
    assert entity("MRImage").get_property("FlipAngle").description.startswith("Angle of the flip")
    assert linkahead.count("COUNT T1WeightedImage WITH FlipAngle=9") == 1


def test_a_record_type_gets_the_properties_that_the_file_adds_and_keeps_those_of_others(
    site: Site, crawled: object, changed_model: Change
) -> None:
    linkahead.Property(name="Colour", datatype=linkahead.TEXT).insert()
    person = entity("Person")
    person.add_property(name="Colour", importance=linkahead.RECOMMENDED).update()
    before = "\nPerson:\n  description: Somebody who is responsible for data; never a subject\n"
    path = changed_model(before, before + "  recommended_properties:\n    Age:\n")
    assert crawl.load_datamodel(path) is True
    assert {prop.name for prop in entity("Person").properties} == {"Age", "Colour"}
    assert crawl.load_datamodel(path) is False


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        (
            FLIP_ANGLE,
            "  datatype: TEXT\n  description: Flip (",
            "TEXT",
        ),
        (
            FLIP_ANGLE,
            "  datatype: DOUBLE\n  unit: rad\n  description: Flip (",
            "DOUBLE rad",
        ),
    ],
)
def test_a_type_or_unit_that_records_use_is_not_changed(
    site: Site, crawled: Callable[[Path], object], changed_model: Change, before: str, after: str, complaint: str
) -> None:
    crawled(site.put_session())
    with pytest.raises(DatabaseError, match=f"FlipAngle is DOUBLE deg in 1 records and {complaint} in the file"):
        crawl.load_datamodel(changed_model(before, after))
    assert (entity("FlipAngle").datatype, entity("FlipAngle").unit) == ("DOUBLE", "deg")
    assert entity("FlipAngle").description.startswith("Flip angle")


def test_all_that_would_break_is_named_at_once_and_nothing_of_the_file_goes_in(
    site: Site, crawled: Callable[[Path], object], tmp_path: Path
) -> None:
    crawled(site.put_session())
    text = (site.rules / "datamodel.yml").read_text(encoding="utf-8")
    text = text.replace(FLIP_ANGLE, "  datatype: TEXT\n  description: Flip angle (")
    text = text.replace("    VoxelSize: {datatype: LIST<DOUBLE>}", "    VoxelSize:")
    text += "\nBrandNew:\n  description: New\n"
    path = tmp_path / "datamodel.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DatabaseError) as refused:
        crawl.load_datamodel(path)
    assert "FlipAngle is DOUBLE deg in 1 records and TEXT in the file" in str(refused.value)
    assert "MRImage.VoxelSize is LIST<DOUBLE> mm in 1 records and DOUBLE mm in the file" in str(refused.value)
    assert linkahead.count("COUNT RECORDTYPE WITH name=BrandNew") == 0


def test_a_type_that_no_record_uses_may_change(site: Site, crawled: object, changed_model: Change) -> None:
    assert crawl.load_datamodel(changed_model(FLIP_ANGLE, "  datatype: TEXT\n  description: Flip ("))
    assert entity("FlipAngle").datatype == "TEXT"
    assert entity("FlipAngle").unit is None


def test_a_missing_model_is_reported(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match=r"datamodel\.yml"):
        crawl.load_datamodel(tmp_path / "datamodel.yml")
