"""The command ``fpa store retain``: delete what is older than it is to be kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fpa_core.cli.app import App
from fpa_core.cli.output import json_option, masked, note, print_results, say, when, work_bar
from fpa_core.cli.tables import table, wide_option

if TYPE_CHECKING:
    from fpa_core.operations import RetentionPlan, RetentionReport
    from fpa_core.operations.retention import Expired, RetentionStep

__all__ = ["retain"]


@click.command()
@click.option(
    "--apply", "is_applied", is_flag=True, help="Archive and delete; without it, only show what would be deleted."
)
@json_option
@wide_option
@click.pass_obj
def retain(app: App, /, is_applied: bool, as_json: bool) -> None:
    """Show which quotes, trades and bars are older than [retention] keeps them; with --apply, archive and delete them.

    They are written to Parquet files first, which are read again; only what is in them is deleted, with its history, for good. Symbols on hold stay.
    Each step is noted in the audit log and as a batch. An interrupted run goes on with the next one.
    """
    if is_applied and app.read_only:
        raise click.UsageError("retain --apply deletes rows; leave out --read-only")
    with app.open(existing=True) as data, work_bar("retain") as tick:
        configured = data.config.retention
        if is_applied:
            done = data.operations.retain(tick=tick)
        else:
            plan = data.operations.retention_plan()
    if all(one.keep is None for one in (configured.quotes, configured.trades, configured.bars)):
        note("[retention] keeps everything forever: set keep for quotes, trades or bars")
    if is_applied:
        _show_report(done, as_json=as_json)
    else:
        _show_plan(plan, as_json=as_json)


def _show_plan(plan: RetentionPlan, *, as_json: bool) -> None:
    from attrs import asdict

    if as_json:
        print_results(map(asdict, plan.expired), rows=plan.rows, now_ns=plan.now_ns)
        return
    rows = [
        [
            _series(one),
            one.subject,
            one.rows,
            one.history,
            when(one.first_ns),
            when(one.before_ns),
            "held" if one.held else "due",
        ]
        for one in plan.expired
    ]
    table("", ["kind", "symbol", "rows", "history", "first", "kept from", "state"], rows, empty="nothing is too old")
    if plan.rows:
        say(f"{plan.rows:,} rows would be deleted; --apply archives and deletes them")


def _series(part: Expired | RetentionStep) -> str:
    """Return the kind of a part, and the interval of bars."""
    return f"{part.kind} {part.interval}" if part.interval else part.kind


def _show_report(done: RetentionReport, *, as_json: bool) -> None:
    from attrs import asdict

    if as_json:
        steps = [asdict(step) | {"files": [masked(str(path)) for path in step.files]} for step in done.steps]
        print_results(steps, rows=done.rows)
        return
    rows = [
        [
            _series(step),
            step.month,
            step.symbols,
            step.rows,
            step.history,
            step.bars,
            step.batch,
            step.files[0].name if step.files else None,
        ]
        for step in done.steps
    ]
    names = ["kind", "month", "symbols", "rows", "history", "bars made", "batch", "archive"]
    table("", names, rows, empty="nothing was too old", optional=(5,))
    if done.steps:
        say(f"{done.rows:,} rows deleted; `fpa store compact` gives their space back")
