"""A law of the built-in formats: what is written as the table of a format says is read back equal, by its name and by its looks."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from attrs import frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fpa_core.arrow.conversion import from_table
from fpa_core.formats import Format, FormatOffer
from fpa_core.kinds import BARS, KINDS, Kind
from fpa_core.numbers import Instant, ns_text, to_ns
from fpa_core.protocols import SourceRequest
from fpa_plugins.files.source import FilesSource
from fpa_plugins.files.vendors import BUILT_IN, actions, histories

SAMPLES = Path(__file__).parents[1] / "formats"
OFFERS = {offer.name: offer for offer in BUILT_IN}
TORTURE = os.environ.get("FPA_HYPOTHESIS") == "torture"

NOT_WRITTEN = {
    **dict.fromkeys(
        ("databento.trades", "databento.quotes", "databento.bbo", "databento.ohlcv"), "prices in billionths"
    ),
    "massive.rest_grouped": "instants within a day stand for the day",
    **dict.fromkeys(("fred.series", "fred.old_series"), "the header of the values is the name of the series"),
    **dict.fromkeys(
        ("nse.full_bhavcopy", "nse.bhavcopy", "nse.udiff_bhavcopy"), "a symbol and a series make the symbol"
    ),
    **dict.fromkeys(
        (
            "lean.equity_minute_quotes",
            "lean.equity_second_quotes",
            "lean.pair_minute_quotes",
            "lean.pair_second_quotes",
        ),
        "a quote stands at the end of the interval that the file names",
    ),
    "norgate.py_bars": "a second column of closes has to agree with the first",
    "alpaca.stream": "its parts are formats of their own",
    **dict.fromkeys(
        (
            *(offer.name for offer in histories.FORMATS if offer.name != "coinbase.fills"),
            *(offer.name for offer in actions.FORMATS),
        ),
        "a word of each row tells what it is, and columns are made of it",
    ),
}
"""The formats that their table alone does not describe, and why."""

CHECKED = {
    *("yahoo.bars", "yfinance.history", "yfinance.download", "tiingo.daily", "kibot.daily", "norgate.daily"),
    *("eodhd.daily", "investing.daily", "schwab.positions"),
}
"""The formats whose own function changes no value: it asks what their table leaves open. The interval is said here."""

PARTS = {"alpaca.stream_trades", "alpaca.stream_quotes", "alpaca.stream_bars", "alpaca.stream_days"}
"""Formats that are recognised only as parts of another."""

WRITTEN = sorted(name for name, offer in OFFERS.items() if offer.format.refuse is None and name not in NOT_WRITTEN)

NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
DAY, MINUTE = 86_400 * 10**9, 60 * 10**9
FIRST, LAST = 1_022_000_000 * 10**9, 1_735_000_000 * 10**9
ZONE = "Europe/Athens"
"""What is said where a format writes local times and leaves the zone open."""

AS_OF = "2024-05-01T20:00:00Z"
"""What is said where a format has no time."""

SYMBOLS = ["EUR/USD", "GBP/JPY", "XAU/USD"]
WORDS = {
    "side": ["buy", "sell"],
    "order_type": ["market", "limit", "stop"],
    "status": ["new", "filled", "expired"],
    "time_in_force": ["day", "gtc", "ioc"],
    "currency": ["USD", "EUR"],
    "account": ["U1", "Z-26679636"],
    "asset_class": ["us_equity", "STK"],
    "conditions": ["D", "C"],
}
FILLERS = ("1", "true", "buy", "1714570200000", "")


@frozen
class Spelling:
    """One way of writing times: the strftime directives of local times, or a unit of epochs; *step* is the finest that it holds."""

    text: str
    step: int
    local: bool = False

    def write(self, ns: int, zone: str) -> str:
        """Return an instant as it is written."""
        if self.text == "iso":
            return ns_text(ns)
        if self.text == "ms-of-day":
            clock = local_time(ns, zone)
            since = clock - clock.replace(hour=0, minute=0, second=0, microsecond=0)
            return str(since // timedelta(milliseconds=1))
        if self.text in NS:
            return f"{Decimal(ns) / NS[self.text]:f}".removesuffix(".")
        text = local_time(ns, zone).strftime(self.text)
        return re.sub(r"(\d{3})\d{3}$", r"\1", text) if self.text.endswith("%f") else text


SPELLINGS = (
    Spelling("iso", 1),
    Spelling("ms", 10**6),
    Spelling("us", 10**3),
    Spelling("s", 10**9),
    Spelling("%Y-%m-%d %H:%M:%S", 10**9, local=True),
    Spelling("%Y.%m.%d %H:%M", MINUTE, local=True),
    Spelling("%Y%m%d %H:%M:%S.%f", 10**6, local=True),
    Spelling("%Y%m%d %H:%M", MINUTE, local=True),
)
"""Tried where a format leaves open how its times are written: the first that its match lets through is taken."""


def local_time(ns: int, zone: str) -> datetime:
    """Return what the clocks of *zone* show, to the microsecond."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1000)).astimezone(ZoneInfo(zone))


def occurs_once(ns: int, zone: str) -> bool:
    """Return whether no other instant has the same local time."""
    clock = local_time(ns, zone)
    return clock.replace(fold=0).utcoffset() == clock.replace(fold=1).utcoffset()


class Writer:
    """Writes records in a format, knowing nothing but its table of data.

    :ivar options: what the user has to say of such a file.
    """

    def __init__(self, offer: FormatOffer) -> None:
        self.form: Format = offer.format
        self.kind: Kind = KINDS[str(self.form.kind)]
        self.file = next((SAMPLES / offer.name).iterdir()).name
        match = self.form.match
        self.rows_of = dict(zip(self.form.names, () if match is None else match.row, strict=False))
        self.columns = {
            field: name if isinstance(name, tuple) else (name,) for field, name in self.form.columns.items()
        }
        self.names = self._names()
        self.options: dict[str, Any] = {}
        self.interval = self._interval()
        if offer.name in CHECKED and self.kind is BARS:
            self.options["interval"] = self.interval
        self.zone = self.form.tz or ZONE
        self.date = self._date()
        self.daily = self.kind is BARS and self.interval == "1d"
        self.spelling = self._spelling()
        if "symbol" not in self.columns and "symbol" in self.kind.by_name:
            self.options["symbol"] = SYMBOLS[0]
        if "timestamp" not in self.columns:
            self.options["as_of"] = AS_OF
        if self.spelling.local and self.form.tz is None and not self.daily:
            self.options["tz"] = ZONE

    def _names(self) -> list[str]:
        if self.form.names:
            return list(self.form.names)
        match = self.form.match
        given = [] if match is None else list(match.columns)
        named = [name for names in self.columns.values() for name in names]
        return list(dict.fromkeys([*given, *named, *self.form.only]))

    def _interval(self) -> str:
        if self.form.interval is not None:
            return self.form.interval
        words = list(self.form.values.get("interval", {}).values())
        if "interval" in self.columns:
            return words[0]
        if self.kind is not BARS:
            return ""
        daily = self.rows_of.get("time", "").endswith(r"\d{2}:\d{2}") and self.form.scale is not None
        bare_date = self.columns["timestamp"] == ("<DATE>",)
        self.options["interval"] = "1d" if daily or bare_date else "5m"
        return str(self.options["interval"])

    def _date(self) -> str | None:
        match = self.form.match
        found = re.search(match.file, self.file, re.IGNORECASE) if match is not None and match.file else None
        return None if found is None else found.groupdict().get("date")

    def _spelling(self) -> Spelling:
        form = self.form
        if form.time_format is not None:
            step = 10**6 if "%f" in form.time_format else 10**9 if "%S" in form.time_format else MINUTE
            return Spelling(form.time_format, step, local=True)
        if form.time_unit is not None:
            return Spelling(form.time_unit, 10**6 if form.time_unit == "ms-of-day" else NS[form.time_unit])
        columns = self.columns.get("timestamp", ())
        patterns = [self.rows_of.get(name) for name in columns]
        if len(columns) == 1 and self.daily and patterns == [None]:
            return Spelling("%Y-%m-%d", DAY, local=True)
        for spelling in SPELLINGS:
            if len(columns) > 1 and not spelling.local:
                continue
            texts = self._parts(spelling.write(FIRST, self.zone), len(columns))
            if all(
                pattern is None or re.fullmatch(pattern, text) for pattern, text in zip(patterns, texts, strict=True)
            ):
                return spelling
        raise AssertionError(f"no spelling of times fits {patterns}")

    @staticmethod
    def _parts(text: str, count: int) -> list[str]:
        return text.split(" ", 1) if count > 1 else [text] * count

    # What is written

    def records(self) -> st.SearchStrategy[list[Any]]:
        """Return lists of records that such a file can hold."""
        fields = {column.name: self._values(column.name, column.type) for column in self.kind.columns}
        for names in self._shared():
            fields.pop(names[1])
        made = {name: values for name, values in fields.items() if values is not None}
        return st.lists(st.fixed_dictionaries(made).map(self._record), min_size=1, max_size=6)

    def _shared(self) -> list[list[str]]:
        """Return the fields that one column stands for."""
        by_column: dict[tuple[str, ...], list[str]] = {}
        for field, names in self.columns.items():
            by_column.setdefault(names, []).append(field)
        return [fields for fields in by_column.values() if len(fields) > 1]

    def _record(self, values: dict[str, Any]) -> Any:
        for first, second in self._shared():
            values = {**values, second: values[first]}
        return self.kind.record(**values)

    def _values(self, field: str, kind: str) -> st.SearchStrategy[Any] | None:
        column = self.kind.by_name[field]
        if field == "interval":
            return st.just(self.interval)
        if kind == "time":
            return self._times() if field in self.columns else st.just(Instant(to_ns(AS_OF)))
        if field not in self.columns and field != "symbol":
            return None if column.required else st.none()  # what a record takes for it by itself
        values = self._words(field, kind)
        optional = not column.required and field not in self.form.carry and self._fits(field, "")
        return st.none() | values if optional else values

    def _words(self, field: str, kind: str) -> st.SearchStrategy[Any]:
        if kind == "decimal":
            whole = self._fits(field, "1") and not self._fits(field, "1.5")
            scale = (
                Decimal(self.form.scale or 1) if field in {"open", "high", "low", "close", "price", "bid", "ask"} else 1
            )
            places = 0 if whole else 4
            return st.integers(1, 10**9).map(lambda number: Decimal(number).scaleb(-places) * scale)
        if kind == "integer":
            return st.integers(0, 10**6)
        if field == "symbol":
            several = "symbol" in self.columns and not self.columns["symbol"][0].startswith("../")
            return st.sampled_from(SYMBOLS if several else SYMBOLS[:1])
        if field == "side" and self.kind.name == "positions":
            return st.sampled_from(["long", "short"])
        if field in {"trade_id", "order_id", "client_order_id"}:
            return st.integers(1, 10**18).map(str)
        return st.sampled_from(WORDS.get(field, ["P", "Q", "V"]))

    def _times(self) -> st.SearchStrategy[Any]:
        if self.daily:
            return st.integers(FIRST // DAY, LAST // DAY).map(lambda day: Instant(day * DAY))
        first, last, step = FIRST, LAST, self.spelling.step
        if self.spelling.text == "ms-of-day":
            text = str(self.date)
            noon = datetime(int(text[:4]), int(text[4:6]), int(text[6:]), 12, tzinfo=ZoneInfo(self.zone))
            first = int(noon.timestamp()) * 10**9 - 6 * 3600 * 10**9
            last = first + 16 * 3600 * 10**9
        times = st.integers(first // step, last // step).map(lambda count: count * step)
        if self.spelling.local:
            times = times.filter(lambda ns: occurs_once(ns, self.zone))
        return times.map(Instant)

    def _fits(self, field: str, text: str) -> bool:
        pattern = self.rows_of.get(self.columns.get(field, ("",))[0])
        return pattern is None or re.fullmatch(pattern, text) is not None

    # How it is written

    def cells(self, record: Any) -> dict[str, str]:
        """Return the cells of a record by the names of their columns."""
        made: dict[str, str] = {}
        for field, names in self.columns.items():
            made.update(zip(names, self._parts(self._cell(field, record), len(names)), strict=True))
        for name in self.names:
            if name not in made:
                pattern = self.rows_of.get(name)
                fitting = [text for text in FILLERS if pattern is None or re.fullmatch(pattern, text)]
                made[name] = self.form.only[name][0] if name in self.form.only else fitting[0]
        return {name: made[name] for name in self.names}

    def _cell(self, field: str, record: Any) -> str:
        column = self.kind.by_name[field]
        value = getattr(record, column.field)
        if column.type == "time":
            return "" if value is None else self.spelling.write(int(value), "UTC" if self.daily else self.zone)
        if column.type == "decimal":
            scale = (
                Decimal(self.form.scale or 1) if field in {"open", "high", "low", "close", "price", "bid", "ask"} else 1
            )
            return "" if value is None else f"{(value / scale).normalize():f}"
        text = "" if value is None else str(value)
        return next((word for word, ours in self.form.values.get(field, {}).items() if ours == text), text)

    def text(self, records: Sequence[Any], delimiter: str) -> str:
        """Return the whole file: JSON where the names of columns are places in a document, else delimited text."""
        rows = [self.cells(record) for record in records]
        if any(name.startswith(("(", "../")) for name in self.names):
            return json.dumps(document(rows))
        out = io.StringIO()
        writer = csv.writer(out, delimiter=self.form.delimiter or delimiter, lineterminator="\n")
        if not self.form.names:
            writer.writerow(re.sub(r"\*$", " BTC", name) for name in self.names)
        writer.writerows(row.values() for row in rows)
        return out.getvalue()


def document(rows: list[dict[str, str]]) -> dict[str, Any]:
    """Return the JSON document of which these are the rows, with what stands around them."""
    whole: dict[str, Any] = {}
    for row in rows:
        inner = {name: cell or None for name, cell in row.items() if not name.startswith(("(", "../"))}
        for name, cell in row.items():
            if name.startswith("../"):
                *above, last = name.removeprefix("../").split("/")
                place = whole
                for each in above:
                    place = place.setdefault(each, {})
                place[last] = cell
        path = row.get("(path)", "rows")
        if "(path)" in row:  # the key of each row is unlike the others, as times are
            whole.setdefault(path, {})[row["(key)"]] = inner
        elif "(key)" in row:
            whole.setdefault(path, {}).setdefault(row["(key)"], []).append(inner)
        else:
            whole.setdefault(path, []).append(inner)
    return whole


def read(path: Path, writer: Writer, name: str | None) -> tuple[list[Any], list[Any]]:
    """Return the records of a file and the rows that are no records."""
    own = {key: writer.options[key] for key in ("symbol", "interval") if key in writer.options}
    form = Format(**{key: value for key, value in writer.options.items() if key not in own})
    request = SourceRequest(str(path), **own, format=form, format_name=name, formats=OFFERS)
    chunks = list(FilesSource().read(request))
    records = [record for chunk in chunks for record in from_table(chunk.kind, chunk.table)]
    return records, [reject for chunk in chunks for reject in chunk.rejects]


def law(name: str) -> Callable[[Path], None]:
    """Return the law for one format, which is told in which folder it may write."""
    writer = Writer(OFFERS[name])
    by_key = any(each == "(key)" for each in writer.names)

    def holds(folder: Path) -> None:
        @settings(
            max_examples=300 if TORTURE else 5,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        )
        @given(writer.records(), st.sampled_from(",;\t|"))
        def check(records: list[Any], delimiter: str) -> None:
            if by_key and "(path)" in writer.names:  # a key occurs once
                records = list({record.ts_ns: record for record in records}.values())
            elif by_key:  # in the order in which their document holds them
                records = sorted(records, key=lambda record: [each.symbol for each in records].index(record.symbol))
            path = folder / writer.file
            path.write_text(writer.text(records, delimiter), encoding="utf-8")
            assert (records, []) == read(path, writer, name)
            if name not in PARTS:
                assert (records, []) == read(path, writer, None)

        check()

    return holds


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    """Records written as the table of a format says are read back equal, whether the format is named or recognised."""
    law(name)(tmp_path)


def test_each_format_is_written_or_listed() -> None:
    """A format is written from its table, refuses its files, or is listed with the reason why its table is not enough."""
    listed = {name for name, offer in OFFERS.items() if offer.prepare is not None or offer.format.divide_by is not None}
    listed |= {
        name for name, offer in OFFERS.items() if any("(made)" in each for each in offer.format.columns.values())
    }  # parts, of columns that the whole makes
    assert listed == set(NOT_WRITTEN) | CHECKED
    assert set(OFFERS) == set(WRITTEN) | set(NOT_WRITTEN) | {
        name for name, each in OFFERS.items() if each.format.refuse
    }
    assert not [name for name in WRITTEN if not OFFERS[name].format.complete]
