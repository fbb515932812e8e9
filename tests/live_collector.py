"""Running a collector in a thread, and replaying real data to it as Alpaca's messages."""

from __future__ import annotations

import csv
import gzip
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from attrs import frozen

from fpa_core.models import Quote, Trade
from fpa_core.numbers import Instant, to_ns
from fpa_core.sources.live import Collector, CollectorReport

__all__ = ["Message", "Running", "frames", "multiset", "records_of", "replayed", "wait_until"]


def wait_until(condition: Callable[[], bool], what: str = "it", timeout: float = 30.0) -> None:
    """Wait until a condition holds that another thread brings about."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout:g} s"
        time.sleep(0.005)


class Running:
    """A collector in a thread of its own; a context manager that stops it. The report is there afterwards."""

    def __init__(self, collector: Collector, stop: threading.Event) -> None:
        self.collector = collector
        self.report: CollectorReport | None = None
        self.error: BaseException | None = None
        self._stop = stop
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.report = self.collector.run()
        except BaseException as error:  # noqa: BLE001  # it is what the test looks at
            self.error = error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the collector did not stop"

    def finished(self) -> CollectorReport:
        """Return the report of a run that did not fail."""
        if self.error is not None:
            raise self.error
        assert self.report is not None
        return self.report

    def rows(self, count: int) -> None:
        """Wait until so many rows were taken."""
        wait_until(lambda: self.collector.status().rows >= count, f"row {count}")

    def refilled(self) -> None:
        """Wait until no gap is left to fetch."""
        wait_until(lambda: self.collector.status().gaps == 0, "the refill")

    def ended(self) -> None:
        """Wait until it ends by itself."""
        self._thread.join(30)
        assert not self._thread.is_alive(), "the collector did not end"


@frozen
class Message:
    """A row of a file as a message of Alpaca."""

    kind: str
    symbol: str
    ts_ns: int
    values: dict[str, Any]


def replayed(folder: Path, start: str, end: str) -> list[Message]:
    """Return trades of SPY and IBM and quotes of IBM of 2013-10-07, from the files of real data, in order of time."""
    first, last = to_ns(start), to_ns(end)
    found = [
        *_trades(folder / "trades_us_equity_SPY_2013-10-07.csv.gz", first, last),
        *_trades(folder / "trades_us_equity_IBM_2013-10-07_08.csv.gz", first, last),
        *_quotes(folder / "quotes_us_equity_tick_IBM_2013-10-07_08.csv.gz", first, last),
    ]
    return sorted(found, key=lambda one: one.ts_ns)


def _rows(path: Path, first: int, last: int) -> Iterator[tuple[int, dict[str, str]]]:
    with gzip.open(path, "rt", newline="") as file:
        for row in csv.DictReader(file):
            ns = to_ns(row["timestamp"])
            if ns >= last:
                return
            if ns >= first:
                yield ns, row


def _trades(path: Path, first: int, last: int) -> Iterator[Message]:
    for ns, row in _rows(path, first, last):
        values = {"p": float(row["price"]), "s": int(row["size"]), "x": row["exchange"], "c": [row["conditions"]]}
        yield Message("trades", row["symbol"], ns, values)


def _quotes(path: Path, first: int, last: int) -> Iterator[Message]:
    for ns, row in _rows(path, first, last):
        sides = {"bp": row["bid"], "ap": row["ask"]}
        sizes = {"bs": row["bid_size"], "as": row["ask_size"]}
        values = {name: float(text) for name, text in sides.items() if text}
        yield Message("quotes", row["symbol"], ns, values | {name: int(text) for name, text in sizes.items() if text})


def frames(messages: Sequence[Message], size: int) -> Iterator[list[Message]]:
    """Yield messages in lists of at most *size*, each of one kind, in order of time."""
    frame: list[Message] = []
    for message in messages:
        if frame and (message.kind != frame[0].kind or len(frame) == size):
            yield frame
            frame = []
        frame.append(message)
    if frame:
        yield frame


def records_of(messages: Sequence[Message]) -> list[Any]:
    """Return the records that messages stand for, made from their text and not by the plugin."""
    made: list[Any] = []
    for one in messages:
        get = one.values.get
        at = Instant(one.ts_ns)
        if one.kind == "quotes":
            bid, ask = (None if get(name) is None else repr(get(name)) for name in ("bp", "ap"))
            made.append(Quote(one.symbol, at, bid, ask, get("bs"), get("as")))
        else:
            codes = f'["{get("c")[0]}"]'
            made.append(Trade(one.symbol, at, repr(get("p")), get("s"), codes, get("x")))
    return made


def multiset(records: Any) -> Counter[Any]:
    """Return how often each record occurs."""
    return Counter(records)
