"""Commands for what sources have had: history, coverage, gaps, backfill."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from fpa_core.cli import completing
from fpa_core.cli.app import INTERRUPTED, App
from fpa_core.cli.data import show_receipt
from fpa_core.cli.output import json_option, note, print_results, progress_bar, say, when
from fpa_core.cli.signals import stop_on_signals
from fpa_core.cli.tables import table, wide_option

if TYPE_CHECKING:
    from fpa_core.layer import DataLayer
    from fpa_core.protocols import HistoryRequest, Receipt
    from fpa_core.sources.gaps import Gap, Plan

__all__ = ["COUNTS", "backfill", "coverage", "gaps", "history"]

STORED = ["quotes", "trades", "bars"]
"""Kinds between whose stored rows gaps are found."""

HISTORIES = [*STORED, "corporate_actions"]
COUNTS = ("read", "inserted", "duplicate", "revised", "quarantined")
"""The figures of receipts that are added up."""

_also_option = click.option(
    "--also",
    multiple=True,
    metavar="ORIGIN",
    help="Count as fetched what this origin covers, such as 'files:*'; repeatable. See --covers of `fpa ingest`.",
)
_range_options: list[Callable[[Any], Any]] = [
    click.argument("via", metavar="SOURCE", shell_complete=completing.sources),
    click.argument("symbols", nargs=-1, required=True, metavar="SYMBOL...", shell_complete=completing.symbols),
    click.option("--kind", type=click.Choice(HISTORIES), default="bars", show_default=True, help="What to fetch."),
    click.option("--interval", help="The interval of bars, such as 1m. Default: 1d."),
    click.option("--start", required=True, help="First time included: 2024-05-01, or 2024-05-01T14:30:00Z."),
    click.option("--end", help="First time excluded. Default: now."),
    _also_option,
]
_calendar_option = click.option(
    "--calendar",
    metavar="CODE|none",
    help="The exchange whose sessions are expected, such as XNYS; none expects data at any time. Default: that of the source.",
)


def _ranged(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_range_options):
        command = option(command)
    return command


@click.command()
@_ranged
@click.option("--refetch", is_flag=True, help="Fetch also what was fetched before.")
@json_option
@click.pass_obj
def history(
    app: App,
    /,
    via: str,
    symbols: tuple[str, ...],
    kind: str,
    interval: str | None,
    start: str,
    end: str | None,
    also: tuple[str, ...],
    refetch: bool,
    as_json: bool,
) -> None:
    """Fetch the history of SYMBOLs from SOURCE, such as alpaca, and store it.

    It is stored in batches while it comes. What was fetched before is not fetched again: after an interrupt or an error, the same command goes on
    where it ended.
    """
    with app.open(lazy=False) as data, stop_on_signals() as stop:
        receipts = _receipts(
            lambda progress: data.sources.iter_history(
                via,
                kind,
                symbols,
                start=start,
                end=end,
                interval=interval,
                refetch=refetch,
                also=also,
                progress=progress,
                stop=stop,
            ),
            symbols,
        )
        _show_fetched(receipts, kind, as_json=as_json)
        if stop.is_set():
            note("interrupted; the same command goes on from here")
            sys.exit(INTERRUPTED)


def _receipts(begin: Callable[[Any], Iterator[Receipt]], symbols: Sequence[str]) -> list[Receipt]:
    """Fetch with a progress bar, and return the receipts."""
    label = symbols[0] if len(symbols) == 1 else f"{len(symbols)} symbols"
    with progress_bar(label) as show:

        def progress(_: HistoryRequest, rows: int, share: float) -> None:
            show(rows, share)

        return list(begin(progress))


def _show_fetched(receipts: Sequence[Receipt], kind: str, *, as_json: bool) -> None:
    totals = {name: sum(getattr(receipt, name) for receipt in receipts) for name in COUNTS}
    if as_json:
        print_results([receipt.as_dict() for receipt in receipts], **totals)
        return
    for receipt in receipts if len(receipts) <= 5 else []:
        show_receipt(receipt, receipt.origin)
    if not receipts:
        say("nothing to fetch: all of it was fetched before")
    elif len(receipts) > 5:
        counts = ", ".join(f"{totals[name]:,} {name}" for name in COUNTS)
        say(f"{len(receipts)} batches of {kind}: {counts}")


# The ledger


@click.command()
@click.argument("kind", required=False, type=click.Choice(HISTORIES))
@click.argument("symbol", required=False, shell_complete=completing.symbols)
@wide_option
@json_option
@click.pass_obj
def coverage(app: App, /, kind: str | None, symbol: str | None, as_json: bool) -> None:
    """Show which ranges of time were fetched completely, by kind, symbol and source: no rows there means that there are none."""
    from fpa_core.sources.gaps import merge_coverage

    with app.open(existing=True) as data:
        entries = data.store.coverage(kind, symbol)
    rows = []
    for subject, ranges in merge_coverage(entries).items():
        own = [
            one
            for one in entries
            if (one.kind, one.subject, one.interval, one.origin)
            == (subject.kind, subject.symbol, subject.interval, subject.origin)
        ]
        for start, end in ranges:
            count = sum(one.rows for one in own if start <= one.start_ns < end)
            rows.append((subject.kind, subject.symbol, subject.interval, subject.origin, when(start), when(end), count))
    names = ("kind", "symbol", "interval", "source", "start", "end", "rows")
    if as_json:
        print_results(dict(zip(names, row, strict=True)) for row in rows)
    else:
        table("", names, rows, empty="nothing was fetched yet", optional=(2,))


def _find_gaps(data: DataLayer, given: dict[str, Any], calendar: str | None) -> list[Gap]:
    chosen: dict[str, Any] = {} if calendar is None else {"calendar": None if calendar.lower() == "none" else calendar}
    return data.sources.gaps(
        given["via"],
        given["kind"],
        given["symbols"],
        start=given["start"],
        end=given["end"],
        interval=given["interval"],
        also=given["also"],
        **chosen,
    )


@click.command()
@click.argument("what", metavar="KIND|SOURCE", shell_complete=completing.kinds_or_sources)
@click.argument("symbols", nargs=-1, metavar="[SYMBOL]...", shell_complete=completing.symbols)
@click.option("--kind", type=click.Choice(HISTORIES), help="With a SOURCE: what to fetch. Default: bars.")
@click.option("--interval", help="The interval of bars, such as 1m. Default: all that are stored; with a SOURCE 1d.")
@click.option("--start", help="First time included: 2024-05-01, or 2024-05-01T14:30:00Z. A SOURCE requires it.")
@click.option("--end", help="First time excluded. Default: the last row; with a SOURCE now.")
@click.option(
    "--longer-than",
    help="Only gaps during which the market was open longer. Default: 15m for quotes and trades, 0 for bars.",
)
@click.option(
    "--calendar",
    metavar="CODE|none",
    help="The exchange whose sessions count, such as XNYS; none for data at any time. Default: none; with a SOURCE that of the source.",
)
@_also_option
@wide_option
@json_option
@click.pass_obj
def gaps(
    app: App,
    /,
    what: str,
    symbols: tuple[str, ...],
    kind: str | None,
    longer_than: str | None,
    calendar: str | None,
    also: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> None:
    """Show the gaps between stored rows of KIND: quotes, trades or bars. Or show what was not fetched from SOURCE yet.

    With a calendar, weekends and holidays are no gaps. Of a SOURCE, what is too young to be final is none either, and `fpa backfill` closes gaps.
    """
    if what not in STORED:
        if longer_than is not None:
            raise click.UsageError("--longer-than is for stored rows: fpa gaps quotes SYMBOL")
        if not symbols or given["start"] is None:
            raise click.UsageError(
                f"{what} is a source, and needs a SYMBOL and --start; for stored rows, name a kind: {', '.join(STORED)}"
            )
        wanted = {"via": what, "kind": kind or "bars", "symbols": symbols, "also": also, **given}
        with app.open() as data:
            _show_gaps(_find_gaps(data, wanted, calendar), as_json=as_json)
        return
    if kind is not None or also:
        option = "--also" if kind is None else "--kind"
        raise click.UsageError(f"{option} is for a SOURCE; {what} is a kind")
    exchange = None if calendar is None or calendar.lower() == "none" else calendar
    with app.open(existing=True) as data:
        found = data.gaps(what, symbols or None, longer_than=longer_than, calendar=exchange, **given)
    if as_json:
        print_results(gap.as_dict() for gap in found)
        return
    names = ["kind", "symbol", "interval", "start", "end", "open", "missing"]
    rows = (
        (one.kind, one.symbol, one.interval, when(one.start_ns), when(one.end_ns), _length(one.open_ns), one.missing)
        for one in found
    )
    table("", names, rows, empty="no gaps", optional=(2, 6))


def _length(ns: int) -> str:
    """Return a length of time for people, in its two largest units."""
    parts: list[str] = []
    left = ns // 10**9
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if left >= seconds and len(parts) < 2:
            parts.append(f"{left // seconds}{unit}")
            left %= seconds
    return " ".join(parts) or f"{ns / 10**9:g}s"


def _gap_row(gap: Gap) -> tuple[Any, ...]:
    subject = gap.subject
    return (
        subject.kind,
        subject.symbol,
        subject.interval,
        subject.origin,
        when(gap.start_ns),
        when(gap.end_ns),
    )


def _show_gaps(found: Sequence[Gap], *, as_json: bool = False) -> None:
    names = ["kind", "symbol", "interval", "source", "start", "end"]
    if as_json:
        print_results(dict(zip(names, _gap_row(gap), strict=True)) for gap in found)
        return
    table("", names, map(_gap_row, found), empty="no gaps", optional=(2,))


@click.command()
@_ranged
@_calendar_option
@click.option("--dry-run", is_flag=True, help="Show the plan, and fetch nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before fetching.")
@wide_option
@json_option
@click.pass_obj
def backfill(app: App, /, calendar: str | None, dry_run: bool, yes: bool, as_json: bool, **given: Any) -> None:
    """Show what it takes to fetch what is missing of a range from SOURCE, and fetch it.

    Only gaps are fetched (see `fpa gaps`). The plan gives the number of requests, an upper estimate of rows, and the time that the limit of requests allows.
    """
    if not (dry_run or yes or sys.stdin.isatty()):
        raise click.UsageError("nobody can be asked here: give --dry-run to see the plan, or --yes to fetch")
    with app.open(lazy=dry_run) as data, stop_on_signals() as stop:
        found = _find_gaps(data, given, calendar)
        plan = data.sources.plan(given["via"], found)
        if dry_run and as_json:
            print_results(_fetches(plan), requests=plan.requests, rows=plan.rows, seconds=plan.seconds)
            return
        if not as_json:
            _show_gaps(found)
            _show_plan(plan)
        if dry_run or not plan.fetches:
            if as_json:
                _show_fetched([], given["kind"], as_json=True)
            return
        if not yes:
            click.confirm("fetch it?", abort=True, err=True)
        receipts = _receipts(
            lambda progress: data.sources.iter_backfill(given["via"], plan, progress=progress, stop=stop),
            given["symbols"],
        )
        _show_fetched(receipts, given["kind"], as_json=as_json)
        if stop.is_set():
            note("interrupted; the same command goes on from here")
            sys.exit(INTERRUPTED)


def _fetches(plan: Plan) -> list[dict[str, Any]]:
    return [
        {
            "symbol": one.request.symbol,
            "start": when(one.request.start),
            "end": when(one.request.end),
            "requests": one.requests,
            "rows": one.rows,
        }
        for one in plan.fetches
    ]


def _show_plan(plan: Plan) -> None:
    if plan.fetches:
        minutes = f"; at least {plan.seconds / 60:,.0f} min under the limit of requests" if plan.seconds else ""
        say(f"plan: {plan.requests:,} requests, up to {plan.rows:,} rows{minutes}")
