"""Commands for what sources deliver now: live data, orders, the state of an account."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from fpa_core.cli import completing
from fpa_core.cli.app import INTERRUPTED, App
from fpa_core.cli.data import show_receipt
from fpa_core.cli.files import KINDS
from fpa_core.cli.output import json_option, note, print_results, say
from fpa_core.cli.signals import stop_on_signals
from fpa_core.cli.sources import COUNTS
from fpa_core.exceptions import SourceError

if TYPE_CHECKING:
    from fpa_core.layer import DataLayer
    from fpa_core.sources.live import CollectorReport, CollectorStatus
    from fpa_core.sources.orders import FollowReport, FollowStatus

__all__ = ["stream", "sync"]


@click.command()
@click.argument("via", metavar="SOURCE", shell_complete=completing.sources)
@click.argument("symbols", nargs=-1, metavar="SYMBOL...", shell_complete=completing.symbols)
@click.option("--orders", is_flag=True, help="Follow the orders of the account instead; without symbols.")
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
    orders: bool,
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

    With --orders, updates of the account's orders are stored as they come, and its fills; what was missed is taken from the account, as by `fpa sync`.
    """
    _check_orders(symbols, orders=orders)
    from fpa_core.numbers import to_seconds

    seconds = None if duration is None else to_seconds(duration, "--for")
    back = to_seconds(catch_up, "--catch-up")
    with app.open(lazy=False) as data, stop_on_signals() as stop, _stop_after(seconds, stop):
        if orders:
            _follow(data, via, stop, as_json=as_json)
        else:
            _collect(data, via, kinds, symbols, policy, queue, back, stop, as_json=as_json)


def _check_orders(symbols: tuple[str, ...], *, orders: bool) -> None:
    """Check that either symbols or orders are asked for, and no option of the other.

    :raises click.UsageError: if not.
    """
    if not orders and not symbols:
        raise click.UsageError("give a SYMBOL to collect, or --orders to follow the orders of the account")
    if not orders:
        return
    context = click.get_current_context()
    options = {"kinds": "--kind", "policy": "--policy", "queue": "--queue", "catch_up": "--catch-up"}
    given = [
        text for name, text in options.items() if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if symbols or given:
        raise click.UsageError(f"--orders follows all orders of the account: leave out {', '.join(given) or 'SYMBOL'}")


@contextlib.contextmanager
def _stop_after(seconds: float | None, stop: threading.Event) -> Iterator[None]:
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, stop.set)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _collect(
    data: DataLayer,
    via: str,
    kinds: tuple[str, ...],
    symbols: tuple[str, ...],
    policy: str,
    queue: int,
    catch_up: float,
    stop: threading.Event,
    *,
    as_json: bool,
) -> None:
    from fpa_core.sources.live import CollectorOptions
    from fpa_core.sources.queue import Policy

    options = CollectorOptions(queue=queue, policy=Policy(policy), catch_up=catch_up)
    collector = data.sources.collect(via, kinds or ("quotes", "trades"), symbols, options=options, stop=stop)
    with _status_line() as show:
        report = collector.run(None if show is None else lambda status: show(status_text(status)))
    _show_report(report, as_json=as_json)


def _follow(data: DataLayer, via: str, stop: threading.Event, *, as_json: bool) -> None:
    follower = data.sources.follow(via, stop=stop)
    with _status_line() as show:
        report = follower.run(None if show is None else lambda status: show(orders_text(status)))
    _show_followed(report, as_json=as_json)


@contextlib.contextmanager
def _status_line() -> Iterator[Callable[[str], None] | None]:
    """Yield what shows a line that is written over; None if there is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return

    def show(line: str) -> None:
        sys.stderr.write("\r\x1b[2K" + line[: _width()])
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


def orders_text(status: FollowStatus) -> str:
    """Return the status of orders that are followed, in one line."""
    parts = ["connected" if status.connected else "not connected", f"{status.updates:,} updates"]
    parts += [f"{status.syncs:,} syncs", f"{status.quarantined:,} quarantined"]
    if status.unlisted:
        parts.append(f"fills of {status.unlisted:,} orders awaited")
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


def _show_followed(report: FollowReport, *, as_json: bool) -> None:
    totals = {name: sum(getattr(one, name) for one in report.receipts) for name in COUNTS}
    synced = {name: sum(getattr(one, name) for one in report.syncs) for name in ("inserted", "revised")}
    if as_json:
        print_results(
            [one.as_dict() for one in (*report.receipts, *report.syncs)],
            **totals,
            connections=len(report.receipts),
            syncs=len(report.syncs),
            synced=synced,
            unlisted=list(report.unlisted),
        )
        return
    say("updates of orders: " + ", ".join(f"{totals[name]:,} {name}" for name in COUNTS))
    say(f"  {len(report.syncs):,} syncs of the account: {synced['inserted']:,} inserted, {synced['revised']:,} revised")
    for order_id in report.unlisted:
        say(f"  the account does not list the fills of order {order_id} yet; `fpa sync` fetches them")


@click.command()
@click.argument("via", metavar="SOURCE", shell_complete=completing.sources)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Fetch all orders, fills, cash flows and corporate actions, not only the latest.",
)
@json_option
@click.pass_obj
def sync(app: App, /, via: str, everything: bool, as_json: bool) -> None:
    """Store the account of SOURCE, such as alpaca: its totals, positions, orders, fills, cash flows and corporate actions, as one batch.

    If nothing has changed, nothing changes.
    """
    with app.open(lazy=False) as data, stop_on_signals() as stop:
        try:
            receipt = data.sources.sync(via, everything=everything, stop=stop)
        except SourceError:
            if not stop.is_set():
                raise
            note("interrupted; nothing was stored")
            sys.exit(INTERRUPTED)
    if as_json:
        print_results([receipt.as_dict()])
    else:
        show_receipt(receipt, receipt.origin)
