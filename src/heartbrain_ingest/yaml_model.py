"""Read a YAML file into a typed model; an unknown name is refused with the nearest known one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from heartbrain_ingest.errors import HeartbrainError

try:
    from yaml import CSafeLoader as QuickSafeLoader
except ImportError:  # PyYAML without its C library reads the same, eight times slower
    from yaml import SafeLoader as QuickSafeLoader  # type: ignore[assignment]

__all__ = ["QuickSafeLoader", "explain", "read_model"]

ModelT = TypeVar("ModelT", bound=BaseModel)


def read_model(path: Path, model: type[ModelT], failure: type[HeartbrainError]) -> ModelT:
    """Read and check a file.

    Parameters
    ----------
    path
        YAML file; an empty one means an empty mapping.
    model
        What it must hold.
    failure
        Raised with the file's name, the place and what is wrong there, when the file is missing, is no YAML or does
        not fit the model.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), QuickSafeLoader)
    except OSError as error:
        raise failure(f"{path.name}: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise failure(f"{path.name}: not YAML: {' '.join(str(error).split())}") from error
    try:
        return model.model_validate({} if content is None else content)
    except ValidationError as error:
        raise failure(f"{path.name}: {explain(error, model)}") from error


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Say in one line what does not fit, place by place."""
    known = sorted(set(_names(model, "")))
    return "; ".join(_explain_one(problem, known) for problem in error.errors())


def _explain_one(problem: Any, known: Iterable[str]) -> str:
    place = ".".join(str(part) for part in problem["loc"]) or "the file"
    if problem["type"] != "extra_forbidden":
        return f"`{place}`: {problem['msg']}"
    nearest = _nearest(problem["loc"], list(known))
    return f"`{place}` is not known" + (f"; did you mean `{nearest}`?" if nearest else "")


def _nearest(location: tuple[Any, ...], known: list[str]) -> str | None:
    # Numbers are places in lists, which the known names do not have.
    wrong = ".".join(str(part) for part in location if not isinstance(part, int))
    matches = difflib.get_close_matches(wrong, known, n=1, cutoff=0.6)
    if matches:
        return matches[0]
    last = str(location[-1])
    return next((one for one in known if difflib.get_close_matches(last, [one.rpartition(".")[2]], cutoff=0.7)), None)


def _names(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        for inner in _models(field.annotation):
            yield from _names(inner, f"{prefix}{name}.")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
