"""postprocessing.yml: which files of a record are sent, and which new data get a request by themselves."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from heartbrain_ingest.errors import RulesError
from heartbrain_ingest.settings import Settings
from heartbrain_ingest.yaml_model import read_model

RULES_NAME = "postprocessing.yml"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class RequestRule(_Part):
    """Every record of a type that meets a condition gets a request, once."""

    name: str = Field(min_length=1, description="What it is for; stands in `SubmittedBy`.")
    function: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="Function of the catalogue.")
    record_type: str = Field(pattern=r"^\w+$", description="RecordType of the records.")
    condition: str = Field("", alias="with", description="Condition in LinkAhead's query language, after WITH.")
    parameters: dict[str, Any] = Field({}, description="Parameters of the function.")
    version: str = Field("", description="Version of the function; empty: the newest.")
    enabled: bool = Field(True, description="Whether the rule is used.")

    @field_validator("condition")
    @classmethod
    def _one_line(cls, text: str) -> str:
        return " ".join(text.split())


class PostprocessingRules(_Part):
    """The whole file."""

    input_files: tuple[str, ...] = Field(
        ("ImageFile", "SidecarFile", "BValueFile", "BVectorFile", "AslContextFile", "RecordingFile"),
        description="Properties whose files go to the computing centre.",
    )
    at_most_per_run: int = Field(500, ge=0, description="So many requests of one rule are made after one run.")
    rules: tuple[RequestRule, ...] = Field((), description="The rules.")


def load_rules(settings: Settings) -> PostprocessingRules:
    """Read the file; a site that has none has no rules.

    Raises
    ------
    RulesError
        When it does not fit; names the place.
    """
    path = settings.folders.crawler_config / RULES_NAME
    return read_model(path, PostprocessingRules, RulesError) if path.is_file() else PostprocessingRules()
