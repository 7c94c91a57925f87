"""The JSON schemas and tables of docs/protocol.md, from the code: `python -m hpc_bridge.reference docs/protocol.md`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from hpc_bridge.protocol import TRANSITIONS, WRITERS
from hpc_bridge.protocol.documents import (
    Description,
    Document,
    EventRecord,
    Heartbeat,
    History,
    JobSpec,
    Manifest,
    Receipt,
)

BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"
DOCUMENTS: Sequence[type[Document]] = (JobSpec, EventRecord, Manifest, Description, Heartbeat, History, Receipt)


def reference() -> str:
    """Give the generated part of docs/protocol.md."""
    lines = [BEGIN, "", "### Life-cycle", "", "| state | event | next state | written by |", "|---|---|---|---|"]
    for (before, event), after in TRANSITIONS.items():
        sides = " or ".join(sorted(side.value for side in WRITERS[event]))
        lines.append(f"| {before.value if before else '(none)'} | {event.value} | {after.value} | {sides} |")
    for document in DOCUMENTS:
        summary = (document.__doc__ or "").split("\n")[0]
        schema = document.model_json_schema(by_alias=True)
        text = json.dumps(schema, indent=1, ensure_ascii=False, sort_keys=True)
        lines += ["", f"### {document.__name__}", "", summary, "", "```json", text, "```"]
    return "\n".join([*lines, "", END])


def renewed(text: str) -> str:
    """Give the page with the generated part renewed."""
    before, _, rest = text.partition(BEGIN)
    return before + reference() + rest.partition(END)[2]


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
