"""Commands for sources: history, stream, sync, coverage, gaps, backfill."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from fpa_core.cli import completing
from fpa_core.cli.app import INTERRUPTED, App
from fpa_core.cli.data import show_receipt
from fpa_core.cli.files import KINDS
from fpa_core.cli.output import json_option, note, print_results, progress_bar, say, when
from fpa_core.cli.tables import table, wide_option

if TYPE_CHECKING:
    from types import FrameType

    from fpa_core.protocols import HistoryRequest, Receipt
    from fpa_core.sources.gaps import Gap, Plan
    from fpa_core.sources.live import CollectorReport, CollectorStatus

__all__ = ["backfill", "coverage", "gaps", "history", "stream", "sync"]

HISTORIES = ["quotes", "trades", "bars"]
COUNTS = ("read", "inserted", "duplicate", "revised", "quarantined")

_range_options: list[Callable[[Any], Any]] = [
    click.argument("via", metavar="SOURCE", shell_complete=completing.sources),
    click.argument("symbols", nargs=-1, required=True, metavar="SYMBOL...", shell_complete=completing.symbols),
    click.option("--kind", type=click.Choice(HISTORIES), default="bars", show_default=True, help="What to fetch."),
    click.option("--interval", help="The interval of bars, such as 1m. Default: 1d."),
    click.option("--start", required=True, help="First time included: 2024-05-01, or 2024-05-01T14:30:00Z."),
    click.option("--end", help="First time excluded. Default: now."),
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


@contextlib.contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set. A second SIGINT interrupts at once."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# History


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
    refetch: bool,
    as_json: bool,
) -> None:
    """Fetch the history of SYMBOLs from SOURCE, such as alpaca, and store it.

    It is stored in batches while it comes. What was fetched before is not fetched again: after an interrupt or an error, the same command goes on
    where it ended.
    """
    with app.open(lazy=False) as data, _stop_on_signals() as stop:
        receipts = _receipts(
            lambda progress: data.sources.iter_history(
                via,
                kind,
                symbols,
                start=start,
                end=end,
                interval=interval,
                refetch=refetch,
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


# Live


@click.command()
@click.argument("via", metavar="SOURCE", shell_complete=completing.sources)
@click.argument("symbols", nargs=-1, required=True, metavar="SYMBOL...", shell_complete=completing.symbols)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(KINDS),
    help="What to collect; repeatable. Default: quotes, trades.",
)
@click.option(
    "--policy",
    type=click.Choice(["block", "drop"]),
    default="block",
    show_default=True,
    help="If the store is slower than the source: let the source wait, or drop the oldest rows, which are then fetched from the history.",
)
@click.option(
    "--queue", type=click.IntRange(1), default=65_536, show_default=True, help="Rows that may wait for the store."
)
@click.option(
    "--catch-up", default="1d", show_default=True, help="How far back to fetch what earlier runs did not collect."
)
@click.option("--for", "duration", help="Stop after this time, such as 10m. Default: when interrupted.")
@json_option
@click.pass_obj
def stream(
    app: App,
    /,
    via: str,
    symbols: tuple[str, ...],
    kinds: tuple[str, ...],
    policy: str,
    queue: int,
    catch_up: str,
    duration: str | None,
    as_json: bool,
) -> None:
    """Store what SOURCE, such as alpaca, delivers live of SYMBOLs, until interrupted.

    Every row is validated and stored durably. After a broken connection, what was missed is fetched from the history; a run that was killed is
    continued where it ended. Ctrl-C and SIGTERM end it cleanly.
    """
    from fpa_core.numbers import to_seconds
    from fpa_core.sources.live import CollectorOptions
    from fpa_core.sources.queue import Policy

    options = CollectorOptions(queue=queue, policy=Policy(policy), catch_up=to_seconds(catch_up, "--catch-up"))
    with app.open(lazy=False) as data, _stop_on_signals() as stop:
        collector = data.sources.collect(via, kinds or ("quotes", "trades"), symbols, options=options, stop=stop)
        timer = None
        if duration is not None:
            timer = threading.Timer(to_seconds(duration, "--for"), stop.set)
            timer.start()
        try:
            with _status_line() as show:
                report = collector.run(show)
        finally:
            if timer is not None:
                timer.cancel()
        _show_report(report, as_json=as_json)


@contextlib.contextmanager
def _status_line() -> Iterator[Callable[[CollectorStatus], None] | None]:
    """Yield what shows a status in one line that is written over; None if there is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return

    def show(status: CollectorStatus) -> None:
        sys.stderr.write("\r\x1b[2K" + status_text(status)[: _width()])
        sys.stderr.flush()

    try:
        yield show
    finally:
        sys.stderr.write("\r\x1b[2K")
        sys.stderr.flush()


def _width() -> int:
    import shutil

    return shutil.get_terminal_size().columns - 1


def status_text(status: CollectorStatus) -> str:
    """Return a status in one line."""
    parts = ["connected" if status.connected else "not connected", f"{status.rows:,} rows", f"{status.rate:,.0f}/s"]
    if status.lag_p50 is not None and status.lag_p99 is not None:
        parts.append(f"lag p50 {status.lag_p50 * 1_000:.0f} ms, p99 {status.lag_p99 * 1_000:.0f} ms")
    parts.append(f"{status.quarantined:,} quarantined")
    if status.dropped:
        parts.append(f"{status.dropped:,} dropped")
    if status.gaps or status.refilled:
        parts.append(f"gaps: {status.gaps} open, {status.refilled} refilled")
    return "  ".join(parts)


def _show_report(report: CollectorReport, *, as_json: bool) -> None:
    totals = {name: sum(getattr(one, name) for one in report.receipts) for name in COUNTS}
    refilled = sum(one.inserted for one in report.refills)
    if as_json:
        print_results(
            [one.as_dict() for one in report.receipts],
            **totals,
            connections=len(report.receipts),
            refilled=refilled,
            open_gaps=len(report.open_gaps),
            dropped=report.dropped,
            corrections=report.corrections,
            unmatched=report.unmatched,
        )
        return
    say(f"{len(report.receipts)} connections: " + ", ".join(f"{totals[name]:,} {name}" for name in COUNTS))
    if report.refills:
        say(f"  {refilled:,} missed rows were fetched from the history")
    if report.corrections or report.unmatched:
        say(f"  {report.corrections:,} trades were corrected; {report.unmatched:,} corrections were of unknown trades")
    if report.dropped:
        say(f"  {report.dropped:,} rows were dropped, because the store was slower than the source")
    if report.open_gaps:
        say(f"  {len(report.open_gaps)} gaps are not final yet; the next run or `fpa backfill` closes them")


# The account


@click.command()
@click.argument("via", metavar="SOURCE", shell_complete=completing.sources)
@click.option("--all", "everything", is_flag=True, help="Fetch all orders, fills and cash flows, not only the latest.")
@json_option
@click.pass_obj
def sync(app: App, /, via: str, everything: bool, as_json: bool) -> None:
    """Store the account of SOURCE, such as alpaca: its totals, positions, orders, fills and cash flows, as one batch.

    If nothing has changed, nothing changes.
    """
    with app.open(lazy=False) as data, _stop_on_signals() as stop:
        receipt = data.sources.sync(via, everything=everything, stop=stop)
    if as_json:
        print_results([receipt.as_dict()])
    else:
        show_receipt(receipt, receipt.origin)


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


def _find_gaps(app_data: Any, given: dict[str, Any], calendar: str | None, *, refetch: bool = False) -> list[Gap]:
    chosen = {} if calendar is None else {"calendar": None if calendar.lower() == "none" else calendar}
    found: list[Gap] = app_data.sources.gaps(
        given["via"],
        given["kind"],
        given["symbols"],
        start=given["start"],
        end=given["end"],
        interval=given["interval"],
        refetch=refetch,
        **chosen,
    )
    return found


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
    as_json: bool,
    **given: Any,
) -> None:
    """Show the gaps between stored rows of KIND: quotes, trades or bars. Or show what was not fetched from SOURCE yet.

    With a calendar, weekends and holidays are no gaps. Of a SOURCE, what is too young to be final is none either, and `fpa backfill` closes gaps.
    """
    if what not in HISTORIES:
        if longer_than is not None:
            raise click.UsageError("--longer-than is for stored rows: fpa gaps quotes SYMBOL")
        if not symbols or given["start"] is None:
            raise click.UsageError(
                f"{what} is a source, and needs a SYMBOL and --start; for stored rows, name a kind: {', '.join(HISTORIES)}"
            )
        wanted = {"via": what, "kind": kind or "bars", "symbols": symbols, **given}
        with app.open() as data:
            _show_gaps(_find_gaps(data, wanted, calendar), as_json=as_json)
        return
    if kind is not None:
        raise click.UsageError(f"--kind is for a SOURCE; {what} is the kind already")
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
    with app.open(lazy=dry_run) as data, _stop_on_signals() as stop:
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
