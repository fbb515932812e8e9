"""The command publish."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from fpa_core.cli.app import App
from fpa_core.cli.files import KINDS
from fpa_core.cli.output import json_option, print_results, progress_bar, say
from fpa_core.cli.tables import table, wide_option

if TYPE_CHECKING:
    from fpa_core.ingest import Progress
    from fpa_core.kinds import Kind

__all__ = ["publish"]

COLUMNS = ("table", "rows", "files", "written", "added", "removed", "resumed", "verified", "batch", "seconds")


@click.command()
@click.argument("kinds", nargs=-1, type=click.Choice(KINDS))
@click.option(
    "--to", "lake", required=True, metavar="LAKE", help="A lake of [lakes.NAME], or a plugin such as iceberg."
)
@click.option("--scale", type=int, help="Digits after the point of decimal columns. Default: as the table has, or 18.")
@click.option("--file-rows", type=click.IntRange(min=1), help="About how many rows a file may have. Default: 1000000.")
@click.option("--replace", is_flag=True, help="Write all files again, whatever the table holds.")
@click.option("--verify", is_flag=True, help="Compare whole tables with the store, not only the new files.")
@json_option
@wide_option
@click.pass_obj
def publish(
    app: App,
    /,
    kinds: tuple[str, ...],
    lake: str,
    scale: int | None,
    file_rows: int | None,
    replace: bool,
    verify: bool,
    as_json: bool,
) -> None:
    """Publish KINDS, or all that is stored, as tables of a lake: only what changed since the last time, each table in one commit.

    A publication that was interrupted goes on where it ended.
    """
    with app.open(existing=True) as data, contextlib.ExitStack() as bar:

        def progress(kind: Kind) -> Progress:
            bar.close()  # that of the kind before: a terminal shows one at a time
            return bar.enter_context(progress_bar(kind.name))

        done = data.publish(
            lake,
            *kinds,
            scale=scale,
            file_rows=file_rows,
            replace=replace,
            verify=verify,
            progress=progress,
        )
    if as_json:
        print_results([each.as_dict() for each in done], lake=lake)
    elif not done:
        say("nothing is stored, so nothing was published")
    else:
        values = [each.as_dict() | {"seconds": round(each.seconds, 2)} for each in done]
        table("", COLUMNS, [[each[name] for name in COLUMNS] for each in values])
