"""bids-validator-deno as a command object: its argument vector, and what it said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from heartbrain_ingest.errors import ToolError

#: The validator's exit codes when it worked: nothing wrong, errors found.
_WORKED = (0, 1, 16)


@dataclass(frozen=True, kw_only=True)
class ValidationIssue:
    """One remark of the validator on one file."""

    #: The validator's code, such as SIDECAR_KEY_RECOMMENDED.
    code: str
    #: More precisely, such as the name of the key; empty without.
    sub_code: str
    #: Path in the dataset.
    location: str
    #: What the code means.
    message: str

    def __str__(self) -> str:
        """Say it in one line."""
        code = f"{self.code} {self.sub_code}".strip()
        return f"{self.location}: {code}: {self.message}"


@dataclass(frozen=True, kw_only=True)
class ValidationReport:
    """All remarks of the validator on a dataset."""

    errors: list[ValidationIssue]
    warnings: list[ValidationIssue]


@dataclass(frozen=True)
class BidsValidator:
    """One run of the validator on one dataset. It brings its schema along and needs no network."""

    dataset: Path

    def argv(self) -> list[str]:
        """Give the argument vector: every row of every table is looked at."""
        program = Path(sys.executable).with_name("bids-validator-deno")
        return [str(program), "--format", "json", "--max-rows", "-1", str(self.dataset)]

    def run(self) -> ValidationReport:
        """Validate the dataset.

        Raises
        ------
        ToolError
            When the validator is missing, stops, or says something that can't be read.
        """
        # Deno looks for a newer self unless told otherwise.
        environment = {**os.environ, "DENO_NO_UPDATE_CHECK": "1", "NO_COLOR": "1"}
        try:
            done = subprocess.run(self.argv(), capture_output=True, text=True, check=False, env=environment)
        except OSError as error:
            raise ToolError(f"bids-validator-deno can't be started: {error.strerror}") from error
        if done.returncode not in _WORKED:
            raise ToolError(f"bids-validator-deno ended with {done.returncode}: {done.stderr.strip()[-400:]}")
        return parse_report(done.stdout)


def validate(dataset: Path) -> ValidationReport:
    """Check a dataset, and the datasets of images below its ``derivatives/``, with bids-validator-deno.

    Each is a run of its own: the validator's own way through derivatives takes no notice of their ``.bidsignore``.
    See `BidsValidator.run`.
    """
    report = BidsValidator(dataset).run()
    for description in sorted(dataset.glob("derivatives/*/dataset_description.json")):
        if any(description.parent.rglob("*.nii.gz")):
            inner = BidsValidator(description.parent).run()
            place = f"/derivatives/{description.parent.name}"
            report.errors.extend(_below(place, inner.errors))
            report.warnings.extend(_below(place, inner.warnings))
    return report


def _below(place: str, issues: list[ValidationIssue]) -> list[ValidationIssue]:
    return [replace(issue, location=f"{place}{issue.location}") for issue in issues]


def parse_report(text: str) -> ValidationReport:
    """Read the validator's JSON.

    Raises
    ------
    ToolError
        When the text is not what the validator writes.
    """
    try:
        content = json.loads(text)["issues"]
        issues = [(entry["severity"], _issue(entry, content["codeMessages"])) for entry in content["issues"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ToolError(f"bids-validator-deno did not write the expected JSON: {text[:200]!r}") from error
    return ValidationReport(
        errors=[issue for severity, issue in issues if severity == "error"],
        warnings=[issue for severity, issue in issues if severity == "warning"],
    )


def _issue(entry: dict[str, Any], messages: dict[str, str]) -> ValidationIssue:
    text = entry.get("issueMessage") or messages.get(entry["code"], "")
    return ValidationIssue(
        code=entry["code"],
        sub_code=entry.get("subCode", ""),
        location=entry.get("location", "/"),
        message=" ".join(text.split()),
    )
