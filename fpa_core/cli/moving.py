"""The commands of ``fpa store`` that copy a store to another one, and compare two."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from fpa_core.cli.app import App
from fpa_core.cli.output import json_option, masked, print_results, say, work_bar
from fpa_core.cli.tables import table, wide_option

if TYPE_CHECKING:
    from fpa_core.operations import Comparison

__all__ = ["MOVING"]

DIFFERENT = 1
"""The exit code of a comparison that found differences."""

_MOST = 50
"""Differences shown to people; ``--json`` has all."""

_TO = "The overlay [env.NAME] that names the other store."


@click.command()
@click.option("--to-env", required=True, metavar="NAME", help=_TO)
@json_option
@wide_option
@click.pass_obj
def copy(app: App, /, to_env: str, as_json: bool) -> None:
    """Copy all that the store holds to the one of another overlay, and prove that both are equal.

    Records, their history, batches, rejected records and the ledger of fetched ranges are copied; sealed rows as they are. The other store must be
    empty, or hold an earlier copy of this one: a copy that was interrupted goes on where it ended. It is the audit log of the other store that says where
    its contents come from. Exit codes: 0 copied and equal; 5 the other store holds other data, or is not equal in the end.
    """
    with app.open(existing=True) as data, app.of(to_env).open() as other, work_bar("copy") as tick:
        found = data.operations.copy(other.operations, tick=tick)
    if as_json:
        _print(found, "parts")
        return
    say(f"{masked(found.here)} was copied to {masked(found.there)}")
    _show_totals(found)
    _show_verdict(found)


@click.command()
@click.option("--to-env", required=True, metavar="NAME", help=_TO)
@json_option
@wide_option
@click.pass_obj
def diff(app: App, /, to_env: str, as_json: bool) -> None:
    """Compare all that the store holds with the one of another overlay, by kind, symbol and month.

    Differences are: only here; only there; rows (their number); values; provenance (the same records, of other batches). Nothing is changed. Exit
    codes: 0 equal; 1 different; 5 a store cannot be read.
    """
    with (
        app.open(existing=True) as data,
        app.of(to_env).open(existing=True) as other,
        work_bar("compare") as tick,
    ):
        found = data.operations.diff(other.operations, tick=tick)
    if as_json:
        _print(found, "differences")
    else:
        say(f"here: {masked(found.here)}; there: {masked(found.there)}")
        _show_differences(found)
        _show_verdict(found)
    if not found.equal:
        sys.exit(DIFFERENT)


def _print(found: Comparison, what: str) -> None:
    """Print the parts or the differences for machines, and what is said of all of them."""
    told = found.as_dict()
    names = ("equal", "seconds")
    summary = {name: told[name] for name in names} | {"here": masked(found.here), "there": masked(found.there)}
    print_results(told[what], **summary)


def _show_totals(found: Comparison) -> None:
    rows = [[name, kind, one.rows, one.checksum] for (name, kind), one in found.totals.items()]
    table("", ["table", "kind", "rows", "checksum"], rows, empty="nothing was stored")


def _show_differences(found: Comparison) -> None:
    if found.equal:
        return
    rows = [
        [*one.part, one.what, one.here and one.here.rows, one.there and one.there.rows]
        for one in found.differences[:_MOST]
    ]
    table("", ["table", "kind", "symbol", "month", "differs", "rows here", "rows there"], rows)
    if (more := len(found.differences) - _MOST) > 0:
        say(f"and {more:,} more; --json has all")


def _show_verdict(found: Comparison) -> None:
    compared = f"{len(found.parts):,} parts by kind, symbol and month compared in {found.seconds:.1f} s"
    say(f"equal: {compared}" if found.equal else f"{len(found.differences):,} differences: {compared}")


MOVING = (copy, diff)
"""The commands that ``fpa store`` has of these."""
