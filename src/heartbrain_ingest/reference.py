"""Reference pages made from the code: `python -m heartbrain_ingest.reference docs/` writes them."""

from __future__ import annotations

import sys
from pathlib import Path

from heartbrain_ingest.issues import ISSUES
from heartbrain_ingest.settings import settings_reference


def settings_page() -> str:
    """Give `docs/settings.md`: every setting with its default and description."""
    rows = [f"| `{name}` | `{default}` | {text} |" for name, default, text in settings_reference()]
    head = (
        "# Settings\n\n"
        "They stand in `heartbrain.yml`, which `heartbrain init` writes; a dot means a level below, `[]` an entry of\n"
        "a list. Relative paths start at the folder of that file. A name that is not listed here is refused, with the\n"
        "nearest one.\n\n"
        "| setting | default | meaning |\n|---|---|---|\n"
    )
    tail = (
        "\n## Which project a session belongs to\n\n"
        "The first rule whose patterns all match wins, else `projects.default`. Patterns are regular expressions.\n\n"
        "```yaml\nprojects:\n  default: 2023_HeartAndBrain\n  rules:\n"
        "    - project: 2024_Kidney\n      study_description: '(?i)kidney|niere'\n"
        "    - project: 2024_Pilot\n      inbox_folder: '^pilot/'\n```\n"
    )
    return head + "\n".join(rows) + "\n" + tail


def issues_page() -> str:
    """Give `docs/issues.md`: every issue code with its meaning and what to do."""
    head = (
        "# Issue codes\n\n"
        "What can be wrong with input data. `info` is recorded only; `warning` is published all the same;\n"
        "`quarantine` is not published: the file stays in the inbox, `heartbrain status --files` names it and\n"
        "`heartbrain explain FILE` says why. Taking it out of the inbox discards it.\n\n"
        "| code | severity | meaning | what to do |\n|---|---|---|---|\n"
    )
    rows = [
        f"| `{code}` | {issue.severity} | {issue.meaning} | {issue.action} |" for code, issue in sorted(ISSUES.items())
    ]
    return head + "\n".join(rows) + "\n"


PAGES = {"settings.md": settings_page, "issues.md": issues_page}


def main(folder: Path) -> None:
    """Write the pages into a folder."""
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
