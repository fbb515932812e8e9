"""A day of sample data from a seeded generator: quotes and trades of a few symbols, a small portfolio, and the errors of real feeds."""

from __future__ import annotations

import csv
import gzip
import io
import random
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from fpa_core import config
from fpa_core.demo.accounts import store_year
from fpa_core.layer import DataLayer, open_tree
from fpa_core.models import Order, PortfolioSnapshot, Position
from fpa_core.numbers import ns_text, to_ns
from fpa_core.outputs import private_folder, whole_file, writable

__all__ = ["make_day", "run"]

OPEN = to_ns("2024-05-01T13:30:00Z")
CLOSE = to_ns("2024-05-01T20:00:00Z")
PRICES = {"AAPL": 169_580, "IBM": 164_430, "MSFT": 394_940, "SPY": 500_350, "XOM": 116_920}
"""The opening price of each symbol, in tenths of a cent."""

HOLDINGS = {"AAPL": 120, "MSFT": 45, "SPY": 200, "XOM": -80}
"""Shares held; negative for short positions."""

CASH = Decimal("25000.00")
TICK = 10
"""One cent, in tenths of a cent."""

CACHED_READS = 20
"""The number of reads to time for a cached read."""


def run(
    folder: Path,
    *,
    quotes: int = 100_000,
    seed: int = 7,
    year: bool = False,
    say: Callable[[str], Any] = print,
    log_level: str | None = None,
) -> dict[str, Any]:
    """Generate a day in *folder*, ingest it, and report the results with *say*; return them as plain values.

    The folder then contains an ``fpa.toml`` and an ordinary database.

    :param year: store a year of two accounts as well.
    """
    from fpa_core import log
    from fpa_core.config import FILE_NAME, template

    with writable(folder):
        private_folder(folder)
    settings = folder / FILE_NAME
    if not settings.exists():
        with whole_file(settings) as stream:
            stream.write(template().encode())
    say(f"Generating a trading day of {len(PRICES)} symbols in {folder} (seed {seed}) ...")
    paths = make_day(folder, quotes=quotes, seed=seed)
    summary: dict[str, Any] = {"folder": str(folder), "seed": seed, "files": []}
    # Without the variables of the process, which could name a database of the user.
    with open_tree(config.load(settings, environ={})) as data:
        log.configure(data.config.logging, log_level, secrets=data.config.secrets)
        for path in paths:
            receipt = data.ingest(path, origin="demo")
            summary["files"].append(receipt.as_dict())
            say(
                f"\n{path.name}: {receipt.read:,} rows read, {receipt.inserted:,} stored, {receipt.duplicate:,} duplicates, "
                f"{receipt.quarantined:,} quarantined, in {receipt.seconds:.2f} s"
            )
            for rule, count in sorted(receipt.warnings.items()):
                say(f"  {count:,} rows flagged by {rule}, but stored: real feeds have them")
        _show_quarantine(data, say)
        summary["portfolio"] = _save_portfolio(data, say)
        summary["again"] = _ingest_again(data, paths[0], say)
        summary["cache"] = _compare_reads(data, say)
        if year:
            summary["year"] = store_year(data, seed, say)
        summary["inventory"] = len(data.store.inventory())
    say(
        f"\nContinue with the database:\n  cd {folder}\n  fpa inventory\n  fpa query quotes AAPL --limit 5\n"
        "  fpa latest AAPL\n  fpa quarantine list\n  fpa rules"
    )
    return summary


def make_day(folder: Path, *, quotes: int, seed: int) -> list[Path]:
    """Write quotes and trades of one trading day as CSV files and return their paths; the same seed gives the same bytes."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets; the day must be reproducible
    ticks = list(_walk(chance, quotes))
    return [
        _write(
            folder / "quotes.csv.gz",
            ["symbol", "timestamp", "bid", "ask", "bid_size", "ask_size"],
            _quotes(chance, ticks),
        ),
        _write(
            folder / "trades.csv.gz",
            ["symbol", "timestamp", "price", "size", "conditions", "exchange"],
            _trades(chance, ticks),
        ),
    ]


def _walk(chance: random.Random, count: int) -> Iterator[tuple[int, str, int, int]]:
    """Yield time, symbol, bid and ask of each quote: a random walk in cents, busier at the open and the close."""
    mids = dict(PRICES)
    symbols = list(PRICES)
    times = sorted(OPEN + int((CLOSE - OPEN) * chance.betavariate(0.7, 0.8)) // 1_000 * 1_000 for _ in range(count))
    for at in times:
        symbol = chance.choice(symbols)
        mids[symbol] += TICK * chance.choice((-1, 0, 0, 0, 1))
        half = TICK * chance.choice((1, 1, 1, 2, 3))
        yield at, symbol, mids[symbol] - half, mids[symbol] + half


def _quotes(chance: random.Random, ticks: list[tuple[int, str, int, int]]) -> Iterator[list[str]]:
    for number, (at, symbol, bid, ask) in enumerate(ticks, 1):
        row = [
            symbol,
            ns_text(at),
            _money(bid),
            _money(ask),
            str(100 * chance.randint(1, 30)),
            str(100 * chance.randint(1, 30)),
        ]
        if number % 997 == 0:
            row[2], row[3] = row[3], row[2]  # crossed: two venues, a moment apart
        if number % 1_511 == 0:
            row[3] = row[5] = ""  # no ask
        if number % 20_011 == 0:
            row[2] = "halted"  # not a number
        yield row
        if number % 1_201 == 0:
            yield row  # sent twice: equal rows of one source are both kept


def _trades(chance: random.Random, ticks: list[tuple[int, str, int, int]]) -> Iterator[list[str]]:
    for number, (at, symbol, bid, ask) in enumerate(ticks[3::4], 1):
        size = "0" if number % 4_001 == 0 else str(chance.choice((1, 5, 10, 50, 100, 100, 100, 200, 500)))
        price = _money(chance.choice((bid, ask, (bid + ask) // 2)))
        stamp = "2024-05-01 09:30" if number % 9_973 == 0 else ns_text(at + chance.randrange(1_000))  # no time zone
        yield [symbol, stamp, price, size, chance.choice(("", "@", "F", "I")), chance.choice("NPQZ")]


def _money(tenths: int) -> str:
    return f"{tenths // 1000}.{tenths % 1000:03d}"


def _write(path: Path, header: list[str], rows: Iterator[list[str]]) -> Path:
    with whole_file(path) as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
        text = io.TextIOWrapper(packed, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        text.flush()
        text.detach()
    return path


def _show_quarantine(data: DataLayer, say: Callable[[str], Any]) -> None:
    refused = data.store.quarantined(limit=3)
    if refused:
        say("\nQuarantined, each with its reason (fpa quarantine list):")
    for record in refused:
        say(f"  {record.raw.strip()}  <- {record.findings[0]['message']}")


def _save_portfolio(data: DataLayer, say: Callable[[str], Any]) -> dict[str, Any]:
    """Open the positions at the opening prices, value them at the last quotes, and save the orders and a snapshot."""
    orders, positions = [], []
    total = CASH
    for number, (symbol, shares) in enumerate(HOLDINGS.items(), 1):
        entry = Decimal(PRICES[symbol]) / 1000
        mark = data.store.latest(symbol)
        price = entry if mark is None or mark.mid is None else mark.mid
        orders.append(
            Order(
                f"demo-{number}", symbol, abs(shares), "buy" if shares > 0 else "sell", "limit", "filled", abs(shares), entry,
                limit_price=entry, timestamp=OPEN + number * 10**9, updated_at=OPEN + number * 2 * 10**9,
            )
        )  # fmt: skip
        positions.append(
            Position(
                symbol, shares, shares * price, shares * entry, shares * (price - entry),
                avg_entry_price=entry, current_price=price, side="long" if shares > 0 else "short", asset_class="us_equity",
            )
        )  # fmt: skip
        total += shares * price
    snapshot = PortfolioSnapshot(CLOSE, total, buying_power=2 * CASH, cash=CASH, positions=positions)
    receipt = data.ingest([*orders, snapshot], origin="demo")
    say(
        f"\nportfolio: {len(orders)} orders, {len(positions)} positions and a snapshot of {total:,.2f} USD stored as batch {receipt.batch}"
    )
    assert data.store.as_of(snapshot.account, CLOSE, PortfolioSnapshot) == snapshot
    return receipt.as_dict()


def _ingest_again(data: DataLayer, path: Path, say: Callable[[str], Any]) -> dict[str, Any]:
    receipt = data.ingest(path, origin="demo")
    say(f"\n{path.name} ingested a second time: {receipt.inserted} inserted, {receipt.duplicate:,} duplicates.")
    return receipt.as_dict()


def _compare_reads(data: DataLayer, say: Callable[[str], Any]) -> dict[str, Any]:
    """Measure reading one hour of quotes from the database and from the cache."""
    hour = data.select("quotes", "AAPL", start="2024-05-01T14:00:00Z", end="2024-05-01T15:00:00Z")
    begun = time.perf_counter()
    rows = hour.to_list()
    first = time.perf_counter() - begun
    begun = time.perf_counter()
    for _ in range(CACHED_READS):
        hour.to_list()
    cached = (time.perf_counter() - begun) / CACHED_READS
    say(
        f"\nan hour of AAPL, {len(rows):,} quotes: {first * 1e3:.2f} ms from the database, {cached * 1e3:.3f} ms from the cache ({first / cached:,.0f} x)"
    )
    return {"rows": len(rows), "database_ms": first * 1e3, "cache_ms": cached * 1e3}
