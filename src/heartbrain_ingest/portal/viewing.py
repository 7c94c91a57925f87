"""What the viewer in the browser is given: an image, and the maps that were computed of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from heartbrain_ingest.portal.entity import Entity, Model, find, read
from heartbrain_ingest.portal.files import open_entity
from heartbrain_ingest.portal.pages import Translate

VOLUMES: Final = (".nii.gz", ".nii", ".mgz", ".mgh")
#: A larger image waits for a click. Unit: bytes.
LARGE: Final = 60_000_000
#: Maps of so many results are offered, the newest first.
_MOST_RESULTS: Final = 20
_MOST_VOLUMES: Final = 20_000
#: Files of a result that are looked through for maps.
_MOST_OUTPUTS: Final = 1_000
_MOST_JSON: Final = 4_000_000
#: The order in which maps are offered; a role that is not named here comes before masks.
_ROLES: Final = ("map", "labels", "", "mask", "error")
_PARTS: Final = re.compile(r"_(param|label|desc)-([A-Za-z0-9]+)")


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A volume that is laid over an image.

    Attributes
    ----------
    id
        Of its File entity.
    role
        What the function says it is: map, mask, error, labels.
    """

    id: int
    name: str
    label: str
    unit: str
    role: str


@dataclass(frozen=True, kw_only=True)
class MapGroup:
    """The maps of one result."""

    result: Entity
    layers: tuple[Layer, ...]


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """An image and what may be laid over it."""

    image: Entity
    file: Entity
    volumes: tuple[str, ...]
    groups: tuple[MapGroup, ...]
    is_large: bool
    #: File of a picture that stands in where the browser can't draw.
    picture: int | None

    @property
    def has_maps(self) -> bool:
        """Whether there is anything to lay over the image."""
        return bool(self.groups)


def view_image(image: Entity, archive: Path, model: Model, _: Translate) -> Viewer | None:
    """Prepare an image with the maps of all its results; None where it has no file to show."""
    if not is_image(image, model):
        return None
    results = find(f"FIND AnalysisResult WITH Inputs={image.id}", most=_MOST_RESULTS).entities
    return _view(image, sorted(results, key=lambda one: -one.id), archive, _)


def view_result(result: Entity, archive: Path, model: Model, _: Translate) -> Viewer | None:
    """Prepare the first image that a result was made of, with the maps of this result alone."""
    inputs = read(result.ids("Inputs"))
    images = [inputs[one] for one in result.ids("Inputs") if one in inputs and is_image(inputs[one], model)]
    return _view(images[0], [result], archive, _) if images else None


def is_image(entity: Entity, model: Model) -> bool:
    """Tell whether an entity is an image with a file; spectra have no planes to look at."""
    is_one = model.is_below(entity.kind, "MRImage") and not model.is_below(entity.kind, "SpectroscopyImage")
    return is_one and entity.reference("ImageFile") is not None


def _view(image: Entity, results: Sequence[Entity], archive: Path, _: Translate) -> Viewer | None:
    wanted = [*image.ids("ImageFile"), *(one for result in results for one in _files_of(result))]
    files = read(wanted)
    file = files.get(image.reference("ImageFile") or 0)
    if file is None or not file.file_name.lower().endswith(VOLUMES):
        return None
    groups = (MapGroup(result=one, layers=tuple(_layers(one, files, archive))) for one in results)
    return Viewer(
        image=image,
        file=file,
        volumes=_volumes(image, _),
        groups=tuple(group for group in groups if group.layers),
        is_large=(file.size or 0) > LARGE,
        picture=image.reference("PlanesPicture"),
    )


def _files_of(result: Entity) -> Iterable[int]:
    return (*result.ids("ResultFile"), *result.ids("OutputFiles")[:_MOST_OUTPUTS])


def roles_of(result: Entity, files: Mapping[int, Entity], archive: Path) -> dict[str, str]:
    """Give what a function says of the files of a result, by their paths.

    Parameters
    ----------
    files
        At least the result's `ResultFile`.
    """
    main = files.get(result.reference("ResultFile") or 0)
    if main is None:
        return {}
    folder = main.path.rsplit("/", 1)[0]
    listed = read_json(archive, main).get("Files")
    found = (one for one in listed if isinstance(one, dict)) if isinstance(listed, list) else ()
    return {f"{folder}/{one.get('path')}": str(one.get("role") or "") for one in found}


def _layers(result: Entity, files: Mapping[int, Entity], archive: Path) -> list[Layer]:
    roles = roles_of(result, files, archive)
    outputs = [files[one] for one in result.ids("OutputFiles") if one in files]
    beside = {one.path: one for one in outputs}
    layers = []
    for file in outputs:
        end = next((one for one in VOLUMES if file.path.lower().endswith(one)), None)
        if end is None:
            continue
        said = read_json(archive, beside.get(file.path[: -len(end)] + ".json"))
        layers.append(
            Layer(
                id=file.id,
                name=file.file_name,
                label=_label(file.file_name, said),
                unit=_unit(said),
                role=roles.get(file.path, ""),
            )
        )
    return sorted(layers, key=lambda one: (_ROLES.index(one.role) if one.role in _ROLES else 2, one.name))


def _label(name: str, said: Mapping[str, Any]) -> str:
    short = " ".join(value for _key, value in _PARTS.findall(name))
    long = str(said.get("Description") or "")
    if short and long and not long.startswith(f"{short} "):
        return f"{short}: {long}"
    return long or short or name


def _unit(said: Mapping[str, Any]) -> str:
    unit = str(said.get("Units") or "")
    return "" if unit in {"1", "arbitrary"} else unit


def _volumes(image: Entity, _: Translate) -> tuple[str, ...]:
    """Say what each volume of a series is: its b-value, its time."""
    count = int(image.number("NumberOfVolumes") or 1)
    if not 1 < count <= _MOST_VOLUMES:
        return ()
    b_values = image.numbers("BValues")
    if len(b_values) == count:
        return tuple(f"b = {one:g} s/mm²" for one in b_values)
    step = image.number("RepetitionTime")
    if step:
        return tuple(_("after %s s") % f"{number * step:.4g}" for number in range(count))
    return ("",) * count


def read_json(archive: Path, file: Entity | None) -> dict[str, Any]:
    """Read a published JSON file; what is missing, large or broken says nothing."""
    found = open_entity(archive, file)
    if found is None or found.status.st_size > _MOST_JSON:
        return {}
    try:
        content = json.loads(found.path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
