"""Converters that caoscrawler lacks; crawler_config/cfood.yml declares them and says what records they fill.

Each takes the keys of every caoscrawler converter (`match`, `records`, `subtree`, `transform`) and those that its class
names. The records themselves, their names and references are written in the cfood, not here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from bids.layout import Config, parse_file_entities
from caoscrawler.converters import Converter, DirectoryConverter, JSONFileConverter
from caoscrawler.converters.converters import replace_variables
from caoscrawler.stores import GeneralStore, RecordStore
from caoscrawler.structure_elements import File, StructureElement

from heartbrain_ingest.crawl.elements import (
    AcquisitionElement,
    DuringElement,
    ImageElement,
    RecordingElement,
    group_folder,
)
from heartbrain_ingest.crawl.model import ModelView, view_datamodel
from heartbrain_ingest.crawl.sidecars import (
    TypedProperty,
    describe_b_values,
    read_b_values,
    read_sidecar,
    type_fields,
    warn,
)
from heartbrain_ingest.crawl.values import PropertyType, UnfitValueError, fit
from heartbrain_ingest.errors import RulesError
from heartbrain_ingest.pictures import ENDINGS, picture_stem

# caoscrawler has no type information, hence the ignores at its classes.
KeysModified = list[tuple[str, str]]


class BIDSFolderConverter(DirectoryConverter):  # type: ignore[misc]
    """A folder whose images and recordings are handed on together with their sidecars."""

    def create_children(self, generalStore: GeneralStore, element: StructureElement) -> list[StructureElement]:  # noqa: ARG002, N803
        """List the folder, grouped."""
        return group_folder(Path(element.path))


class TypedConverter(Converter):  # type: ignore[misc]
    """What the converters share that fill a record with properties of the data model.

    Keys: `datamodel`, the data model file (relative to the cfood); `record`, the name of the record to fill.
    """

    view: ModelView

    def setup(self) -> None:
        """Check the keys of the definition and read the data model."""
        for key in ("datamodel", "record"):
            if key not in self.definition:
                raise RulesError(f"cfood: converter {self.name!r} lacks the key {key!r}")
        self.view = view_datamodel(Path(self.definition["datamodel"]))

    def match(self, element: StructureElement) -> dict[str, Any] | None:
        """Match the name of the element against `match`."""
        found = re.match(self.definition.get("match", ".*"), element.name)
        return None if found is None else found.groupdict()

    def below(self, base: str, named: object, path: Path) -> str:
        """Give the RecordType that a file names if it is `base` or below it, else the base, with a warning."""
        if isinstance(named, str) and self.view.is_below(named, base):
            return named
        warn("UNKNOWN_RECORD_TYPE", path, f"its RecordType is not below {base}; stored as {base}")
        return base

    def add(self, records: RecordStore, properties: list[TypedProperty]) -> KeysModified:
        """Add properties to the record that this converter fills."""
        name: str = self.definition["record"]
        if name not in records:
            raise RulesError(f"cfood: converter {self.name!r} fills the record {name!r}, which nothing has created")
        return add_properties(records, name, properties)


def add_properties(records: RecordStore, name: str, properties: list[TypedProperty]) -> KeysModified:
    """Add typed properties to a record; one that is there already gets the new value."""
    record = records[name]
    present = {prop.name: prop for prop in record.properties}
    for prop in properties:
        if prop.name in present:
            present[prop.name].value = prop.value
        else:
            record.add_property(name=prop.name, value=prop.value, datatype=prop.datatype)
    return [(name, prop.name) for prop in properties]


class AcquisitionConverter(TypedConverter):
    """An image or recording with its sidecar.

    Keys, beside those of every typed converter: `base`, the RecordType that the sidecar's `RecordType` must be or be
    below; anything else becomes the base. `entities` maps names of pybids to properties (`acquisition: acq`); what it
    does not name is left out.

    Variables for the cfood: `$stem` (file name without endings), `$RecordType`, `$published_path`.
    """

    element_type: type[AcquisitionElement] = AcquisitionElement

    def setup(self) -> None:
        """Check the keys."""
        super().setup()
        if "base" not in self.definition:
            raise RulesError(f"cfood: converter {self.name!r} lacks the key 'base'")

    def typecheck(self, element: StructureElement) -> bool:
        """Take elements of one kind."""
        return type(element) is self.element_type

    def create_values(self, values: GeneralStore, element: AcquisitionElement) -> None:
        """Set the variables."""
        super().create_values(values, element)
        values["stem"] = element.stem
        values["RecordType"] = self.record_type(element)
        values[f"{self.name}.path"] = element.path

    def record_type(self, element: AcquisitionElement) -> str:
        """Give the RecordType that the sidecar names, or the base."""
        base: str = self.definition["base"]
        return self.below(base, element.content.get("RecordType", base), Path(element.path))

    def create_records(self, values: GeneralStore, records: RecordStore, element: AcquisitionElement) -> KeysModified:
        """Create what the cfood says, then add entities and sidecar fields."""
        modified: KeysModified = super().create_records(values, records, element)
        fields = self.fields(element)
        properties = type_fields(
            fields,
            record_type=values["RecordType"],
            view=self.view,
            source=element.sidecar or Path(element.path),
            skip=["RecordType"],
            reserved=(self.definition.get("entities") or {}).values(),
        )
        return modified + self.add(records, [*properties, *self.entities(element)])

    def fields(self, element: AcquisitionElement) -> dict[str, object]:
        """Give the fields that become properties."""
        return dict(element.content)

    def entities(self, element: AcquisitionElement) -> list[TypedProperty]:
        """Give the BIDS entities of the file name, as pybids reads them."""
        wanted: dict[str, str] = self.definition.get("entities") or {}
        properties = []
        for entity, value in parse_file_entities(element.path, entities=_bids_entities()).items():
            if entity not in wanted:
                continue
            name = wanted[entity]
            kind = self.view.properties.get(name)
            if kind is None:
                raise RulesError(
                    f"cfood: {self.name!r} maps {entity} to {name}, which is no property of the data model"
                )
            properties.append(TypedProperty(name=name, value=_entity(value, kind), datatype=str(kind)))
        return properties

    def create_children(self, generalStore: GeneralStore, element: AcquisitionElement) -> list[StructureElement]:  # noqa: ARG002, N803
        """Hand on the files."""
        return [File(path.name, str(path)) for path in element.files]

    def pictures(self, values: GeneralStore, element: AcquisitionElement, endings: Sequence[str]) -> list[File]:
        """Give the pictures of it that there are; the key `session_folder` says where their paths start from."""
        session = self.definition.get("session_folder")
        if session is None:
            return []
        root = Path(replace_variables(session, values))
        stem = root / picture_stem(PurePosixPath(Path(element.path).parent.relative_to(root), element.stem))
        pictures = [stem.with_name(f"{stem.name}{ending}") for ending in endings]
        return [File(picture.name, str(picture)) for picture in pictures if picture.is_file()]


@functools.cache
def _bids_entities() -> list[Any]:
    """Give pybids' entities; left to itself it reads their definition again for every file."""
    return list((Config.load("bids").entities | Config.load("derivatives").entities).values())


def _entity(value: object, kind: PropertyType) -> Any:
    """Turn an entity into the type of its property: pybids gives numbers in some entities, texts in others."""
    text = str(value)
    try:
        return fit(int(text) if kind.element == "INTEGER" else text, kind)
    except (UnfitValueError, ValueError) as error:
        raise RulesError(f"cfood: an entity with the value {text!r} can't be stored as {kind}") from error


class BIDSImageConverter(AcquisitionConverter):
    """An image with its sidecar, tables, DICOM archive and pictures.

    Keys: `archives`, the folder of the archives; `session_folder`, the folder that the pictures' paths start from.
    """

    element_type = ImageElement

    def fields(self, element: AcquisitionElement) -> dict[str, object]:
        """Give the sidecar's fields, and the b-values of a diffusion series."""
        fields = super().fields(element)
        b_values = fields.get("BValues")
        if b_values is None and ".bval" in element.beside:
            b_values = read_b_values(element.beside[".bval"])
        if isinstance(b_values, list) and all(isinstance(b, int | float) for b in b_values):
            fields |= describe_b_values([float(b) for b in b_values])
        return fields

    def create_children(self, generalStore: GeneralStore, element: AcquisitionElement) -> list[StructureElement]:  # noqa: N803
        """Hand on the files, the DICOM archive that the image was made of, and the pictures of it."""
        children = super().create_children(generalStore, element)
        series = element.content.get("SourceSeries")
        folder = self.definition.get("archives")
        if isinstance(series, str) and folder is not None:
            archive = Path(replace_variables(folder, generalStore)) / Path(series).name
            if archive.is_file():
                children.append(File(archive.name, str(archive)))
        return [*children, *self.pictures(generalStore, element, ENDINGS)]


class BIDSRecordingConverter(AcquisitionConverter):
    """A physiological recording with its sidecar; its children are its files, its drawing and the images it covers.

    Keys: `session_folder`, the folder that the path of the drawing starts from.
    """

    element_type = RecordingElement

    def fields(self, element: AcquisitionElement) -> dict[str, object]:
        """Give the sidecar's fields; those that describe the columns (BIDS, tabular files) as one."""
        fields = super().fields(element)
        columns = fields.get("Columns")
        names = [name for name in columns if isinstance(name, str)] if isinstance(columns, list) else []
        described = {name: fields.pop(name) for name in names if isinstance(fields.get(name), dict)}
        if described:
            fields["ColumnDescriptions"] = described
        return fields

    def create_children(self, generalStore: GeneralStore, element: AcquisitionElement) -> list[StructureElement]:  # noqa: N803
        """Hand on the files, the drawing and the images."""
        during = element.during if isinstance(element, RecordingElement) else []
        drawing = self.pictures(generalStore, element, ["_trace.svg"])
        return [*super().create_children(generalStore, element), *drawing, *during]


class DuringConverter(AcquisitionConverter):
    """An image that a recording refers to: identified, not described again."""

    element_type = DuringElement

    def create_records(self, values: GeneralStore, records: RecordStore, element: AcquisitionElement) -> KeysModified:
        """Create what the cfood says, nothing more."""
        modified: KeysModified = Converter.create_records(self, values, records, element)
        return modified

    def create_children(self, generalStore: GeneralStore, element: AcquisitionElement) -> list[StructureElement]:  # noqa: ARG002, N803
        """Hand on nothing."""
        return []


class TypedJSONFileConverter(JSONFileConverter):  # type: ignore[misc]
    """A JSON file whose named fields become properties.

    Keys: `datamodel`; `properties`, which maps names of records to the fields they take.
    """

    def create_records(self, values: GeneralStore, records: RecordStore, element: File) -> KeysModified:
        """Create what the cfood says, then add the fields."""
        modified: KeysModified = super().create_records(values, records, element)
        path = Path(element.path)
        content = read_sidecar(path) or {}
        view = view_datamodel(Path(self.definition["datamodel"]))
        for name, fields in self.definition["properties"].items():
            chosen = {field: content[field] for field in fields if field in content}
            properties = type_fields(chosen, record_type=name, view=view, source=path)
            modified += add_properties(records, name, properties)
        return modified
