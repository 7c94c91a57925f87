"""`heartbrain crate`: a result with where it comes from, for a publication."""

from __future__ import annotations

from pathlib import Path

import click

from heartbrain_ingest.commands.base import settings_of, settings_option


@click.command()
@settings_option
@click.argument("result")
@click.argument("target", type=click.Path(path_type=Path))
@click.pass_context
def crate(ctx: click.Context, result: str, target: Path) -> None:
    """Write RESULT as an RO-Crate to TARGET, a new folder or a file that ends in .zip.

    RESULT is its folder, the folder's name, or the name of its request. Inputs are described with their checksums, down
    to the DICOM files, not copied.

    Example: heartbrain crate R-4f1c09a2b3d5 ivim.zip
    """
    from heartbrain_ingest import provenance
    from heartbrain_ingest.crates import write_crate

    archive = settings_of(ctx).folders.archive
    found = provenance.trace(archive, provenance.only_result(archive, result))
    if target.exists():
        raise click.UsageError(f"{target} is there already")
    click.echo(str(write_crate(found, target)))
