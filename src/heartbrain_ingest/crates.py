"""A result as an RO-Crate (Research Object Crate 1.2), for publications and other systems."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heartbrain_ingest.provenance import Trace, sha256_of


def write_crate(found: Trace, target: Path) -> Path:
    """Write a result as an RO-Crate: its files, and what it was made of with checksums (Process Run Crate).

    Inputs are described, not copied.

    Parameters
    ----------
    found
        The result.
    target
        Folder to make; a name that ends in `.zip` gives an archive.

    Returns
    -------
    Path
        What was written.
    """
    from rocrate.model.contextentity import ContextEntity  # noqa: PLC0415 - only when asked for
    from rocrate.rocrate import ROCrate  # noqa: PLC0415 - the same

    crate = ROCrate()
    content = found.content
    crate.name = found.folder.name
    crate.description = f"{content.get('ResultType')} by {content.get('Function')} {content.get('Version')}"
    crate.license = "see the README of the result"
    roles = {str(one.get("path")): str(one.get("role", "")) for one in content.get("Files", [])}
    outputs = []
    for path in sorted(found.folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(found.folder).as_posix()
            facts = {"sha256": sha256_of(path), **({"description": roles[name]} if roles.get(name) else {})}
            file = crate.add_file(path, name, properties=facts)
            if name in roles:
                outputs.append(file)

    def describe(place: str, facts: Mapping[str, Any]) -> Any:
        return crate.add(ContextEntity(crate, f"heartbrain:{place}", properties={"name": place, **facts}))

    objects = []
    for one in found.inputs:
        made: dict[str, Any] = {"@type": "DigitalDocument", "sha256": one.sent}
        if one.series is not None:
            series = one.series
            members = [
                describe(f"{series.place}/{member.name}", {"@type": "DigitalDocument", "sha256": member.sha256})
                for member in series.members
            ]
            made["isBasedOn"] = describe(
                series.place, {"@type": "DigitalDocument", "sha256": series.recorded, "hasPart": members}
            )
        objects.append(describe(one.place, made))
    image = content.get("ContainerDigest")
    program = crate.add(
        ContextEntity(
            crate,
            f"#{content.get('Function')}-{content.get('Version')}",
            properties={
                "@type": "SoftwareApplication",
                "name": content.get("Function"),
                "version": content.get("Version"),
                "sha256": content.get("Digest"),
                **({"softwareRequirements": f"container image, sha256 {image}"} if image else {}),
            },
        )
    )
    parameters = json.dumps(content.get("Parameters", {}), sort_keys=True)
    action = {"name": f"request {content.get('Request')}", "description": f"Parameters: {parameters}"}
    crate.add_action(program, f"#{content.get('Job')}", object=objects, result=outputs, properties=action)
    if target.suffix == ".zip":
        crate.write_zip(target)
    else:
        crate.write(target)
    return target
