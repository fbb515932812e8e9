"""Commands for the store."""

from __future__ import annotations

import click

from fpa_core.cli import completing
from fpa_core.cli.app import App
from fpa_core.cli.moving import MOVING
from fpa_core.cli.operating import OPERATIONS
from fpa_core.cli.output import json_option, masked, print_results, say
from fpa_core.cli.retaining import retain
from fpa_core.cli.tables import table, wide_option

__all__ = ["store"]


@click.group()
def store() -> None:
    """Look after the database: check, back up, restore, compact, retain, copy, migrate; statistics and sealing."""


for _command in (*OPERATIONS, *MOVING, retain):
    store.add_command(_command)


@store.command("stats")
@json_option
@wide_option
@click.pass_obj
def store_stats(app: App, /, as_json: bool) -> None:
    """Show database statistics: single (hot) and sealed rows of each kind, and bytes per sealed row."""
    from attrs import asdict

    with app.open(existing=True) as data:
        told = asdict(data.store.backend.describe())
    if told["path"] is not None:
        told["path"] = masked(told["path"])
    kinds = told.pop("kinds", {})
    if as_json:
        print_results([{"kind": name, **figures} for name, figures in kinds.items()], **told)
        return
    for name, value in told.items():
        say(f"{name}: {value:,}" if isinstance(value, int) else f"{name}: {value}")
    rows = [
        [
            name,
            f["rows"],
            f["hot"],
            f["sealed"],
            f["segments"],
            round(f["segment_bytes"] / f["sealed"], 2) if f["sealed"] else None,
        ]
        for name, f in kinds.items()
    ]
    table("", ["kind", "rows", "hot", "sealed", "segments", "bytes per sealed row"], rows)


@store.command("seal")
@click.argument("kind", required=False, type=click.Choice(["quotes", "trades"]))
@click.argument("symbol", required=False, shell_complete=completing.symbols)
@json_option
@click.pass_obj
def store_seal(app: App, /, kind: str | None, symbol: str | None, as_json: bool) -> None:
    """Move single rows of KIND and SYMBOL, or all rows, into compact segments, and their history as well, and merge late rows. The results of reads do not change."""
    from attrs import asdict

    with app.open(existing=True) as data:
        done = data.store.seal(kind, symbol=symbol)
    if as_json:
        print_results([asdict(done)])
    else:
        past = f", and {done.history:,} rows of the history" if done.history else ""
        say(f"{done.rows:,} rows of {done.subjects:,} symbols sealed into {done.segments:,} segments{past}")
