"""Judging records against each other: times among themselves, trades against quotes, snapshots against positions."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator

import attrs

from fpa_core.exceptions import DataError
from fpa_core.models import PortfolioSnapshot, Position, Quote, Time, Trade
from fpa_core.numbers import EXACT, decimal_text, ns_text, to_ns
from fpa_core.protocols import Finding, Severity
from fpa_core.records import TRADES
from fpa_core.validator.result import Ledger, ValidationResult

__all__ = ["examine_times", "examine_trades", "joined", "with_positions"]

_TOLERANCE_NS = 10**9


def examine_times(timestamps: Iterable[Time], now_ns: int) -> ValidationResult:
    """Judge times in the order given: none before the one ahead of it, none more than a second ahead of *now_ns*."""
    ledger = Ledger()
    last: int | None = None
    for row, timestamp in enumerate(timestamps):
        ledger.rows += 1
        problems: dict[str, str | None] = {"time.form": None}
        try:
            ns = to_ns(timestamp)
        except DataError as error:
            problems["time.form"] = error.message
        else:
            problems["time.order"] = problems["time.future"] = None
            if last is not None and ns < last:
                problems["time.order"] = f"{ns_text(ns)} comes after {ns_text(last)}"
            if ns > now_ns + _TOLERANCE_NS:
                problems["time.future"] = f"{ns_text(ns)} lies after the present, {ns_text(now_ns)}"
            last = ns
        for rule, problem in problems.items():
            tally = ledger.tally(rule)
            tally.evaluated += 1
            if problem is not None:
                tally.failed += 1
                ledger.keep(
                    Finding(
                        rule, Severity.ERROR, problem, "timestamps", observed={"timestamp": str(timestamp)}, row=row
                    )
                )
    return ledger.result()


def examine_trades(quotes: Iterable[Quote], trades: Iterable[Trade]) -> ValidationResult:
    """Judge each trade against the last two-sided quote of its symbol at or before it.

    ``trade.outside_quote``: a price further outside bid and ask than the spread is a warning. Good: 10.00 to 10.02, traded at 10.03. Bad: 10.05.
    """
    standing: dict[str, tuple[list[int], list[Quote]]] = defaultdict(lambda: ([], []))
    for quote in sorted(quotes, key=lambda quote: quote.ts_ns):  # stable: among equal times the last to arrive stands
        if quote.bid is not None and quote.ask is not None:
            times, values = standing[quote.symbol]
            times.append(quote.ts_ns)
            values.append(quote)
    ledger = Ledger()
    tally = ledger.tally("trade.outside_quote")
    for row, trade in enumerate(trades):
        ledger.rows += 1
        times, values = standing.get(trade.symbol, ([], []))
        place = bisect_right(times, trade.ts_ns)
        if not place:
            tally.not_evaluated += 1
            continue
        tally.evaluated += 1
        finding = _outside(trade, values[place - 1], row)
        if finding is not None:
            tally.failed += 1
            ledger.keep(finding)
            ledger.flag(finding.rule, 1)
    return ledger.result()


def _outside(trade: Trade, quote: Quote, row: int) -> Finding | None:
    assert quote.bid is not None
    assert quote.ask is not None
    low, high = min(quote.bid, quote.ask), max(quote.bid, quote.ask)
    spread = EXACT.subtract(high, low)
    if EXACT.subtract(low, spread) <= trade.price <= EXACT.add(high, spread):
        return None
    return Finding(
        "trade.outside_quote",
        Severity.WARNING,
        f"the price {decimal_text(trade.price)} is more than the spread outside the quote "
        f"{decimal_text(quote.bid)} to {decimal_text(quote.ask)} of {ns_text(quote.ts_ns)}",
        TRADES.name,
        trade.symbol,
        trade.ts_ns,
        {"price": trade.price, "bid": quote.bid, "ask": quote.ask},
        row,
    )


def with_positions(
    snapshots: Iterable[PortfolioSnapshot], positions: Iterable[Position]
) -> Iterator[PortfolioSnapshot]:
    """Yield the snapshots, each with the positions given for its account and time where it came without any."""
    held: dict[tuple[str, int | None], list[Position]] = defaultdict(list)
    for position in positions:
        held[position.account, position.ts_ns].append(position)
    for snapshot in snapshots:
        found = held.get((snapshot.account, snapshot.ts_ns))
        yield snapshot if snapshot.positions or not found else attrs.evolve(snapshot, positions=found)


def joined(one: ValidationResult, two: ValidationResult) -> ValidationResult:
    """Return two results, of different rules, as one."""
    return ValidationResult(
        one.rows + two.rows,
        one.findings + two.findings,
        {**one.counts, **two.counts},
        {**one.flagged, **two.flagged},
    )
