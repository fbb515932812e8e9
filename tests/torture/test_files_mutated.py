"""Files of every kind, changed at random: the reader stores what they hold, or refuses it by an error of this project."""

from __future__ import annotations

import contextlib
import csv
import io
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from attrs import define, field
from file_mutations import Mutated, mutated, seeds
from file_oracle import MISSING, instant_of, mark_of, number_of, records_of

import fpa_core
from fpa_core.exceptions import FpaError
from fpa_core.formats import Format
from fpa_core.kinds import KINDS, Kind
from fpa_core.layer import DataLayer
from fpa_core.protocols import Receipt, Sniffed

pytestmark = pytest.mark.filterwarnings("default")

HANG, MEGABYTES, FILES_OF_A_DATABASE = 15, 500, 200
SAMPLE = 1_000
"""Rows that decide how the numbers of a file are written."""

PLAIN = Format()
DEFAULTS = {"filled_quantity": Decimal(0)}
"""What a missing value stands for, as the models have it."""


class Hang(BaseException):
    """Reading a file takes too long."""


@define
class Findings:
    """What came of many files."""

    files: int = 0
    stored: int = 0
    refused: int = 0
    unsniffed: int = 0
    compared: int = 0
    rows: int = 0
    instants: int = 0
    slowest: float = 0.0
    failures: list[str] = field(factory=list)

    @property
    def peak(self) -> int:
        """The most memory that this process has had, in megabytes; 0 where nobody tells."""
        if sys.platform == "win32":
            return 0
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return int(peak) // (1 << 20 if sys.platform == "darwin" else 1 << 10)


@contextlib.contextmanager
def within(seconds: int) -> Iterator[None]:
    """Raise :class:`Hang` when the body takes longer, where there are alarms."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def rung(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, rung)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def options_of(one: Mutated) -> dict[str, Any]:
    """Return what is said of a file, by its number."""
    chance = Random(~one.seed)
    said: dict[str, Any] = {"symbol": "X", "interval": chance.choice(("1d", "1m"))}
    return said | ({"tz": "UTC"} if chance.random() < 0.4 else {})


def torture(folder: Path, count: int, first: int = 0, keep: Path | None = None) -> Findings:
    """Sniff and ingest changed files and compare what is stored with what they hold.

    :param keep: where files that fail are kept.
    """
    found = Findings()
    changed = mutated(seeds(), count, first)
    for start in range(0, count, FILES_OF_A_DATABASE):
        config = folder / f"{start}.toml"
        config.write_text(f'[store]\npath = "{start}.db"\n', "utf-8")
        with fpa_core.open(config, environ={}) as data:
            for _ in range(min(FILES_OF_A_DATABASE, count - start)):
                one = next(changed)
                path = folder / f"{start}" / one.name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(one.content)
                problems = _read(data, one, path, found)
                if problems:
                    found.failures.append(f"{one.seed} {one.name} {'+'.join(one.done)} {options_of(one)}: {problems}")
                    if keep is not None:
                        keep.mkdir(exist_ok=True)
                        (keep / f"{one.seed}-{one.name}").write_bytes(one.content)
                path.unlink()
        for each in folder.glob(f"{start}.db*"):
            each.unlink()
    return found


def _read(data: DataLayer, one: Mutated, path: Path, found: Findings) -> str | None:
    """Return what is wrong with how a file is read; None where nothing is."""
    found.files += 1
    options = options_of(one)
    tables: Sequence[Sniffed] = ()
    started = time.monotonic()
    try:
        with within(HANG):
            try:
                tables = data.sniff(path, **options)
            except FpaError:
                found.unsniffed += 1
            try:
                receipt = data.ingest(path, **options)
            except FpaError:
                found.refused += 1
                return None
    except Hang:
        return f"it takes more than {HANG} seconds"
    except Exception as error:  # noqa: BLE001  # whatever else comes out is what is looked for
        return f"{type(error).__name__}: {error}"[:500]
    finally:
        found.slowest = max(found.slowest, time.monotonic() - started)
    found.stored += 1
    if receipt.read != receipt.inserted + receipt.duplicate + receipt.revised + receipt.quarantined:
        return f"the counts do not add up: {receipt}"
    if len(tables) != 1 or tables[0].form != "delimited text":
        return None
    if tables[0].problem is not None:
        return f"sniffing says {tables[0].problem!r}, and yet it is stored"
    return _compared(data, receipt, tables[0], one, options, found)


def _compared(
    data: DataLayer, receipt: Receipt, table: Sniffed, one: Mutated, options: dict[str, Any], found: Findings
) -> str | None:
    """Return which stored rows are in no row of the file as the documented rules read it."""
    form = PLAIN
    if table.format is not None:
        offer = data.formats[table.format]
        form = offer.format
        if offer.prepare is not None or form.divide_by or form.carry or form.magnitudes or form.scale or form.nulls:
            return None
    if table.container or table.encoding is None or table.delimiter is None or table.kind is None:
        return None
    kind = KINDS[table.kind]
    places = _places(kind, table, form)
    if not places:
        return None
    rows = _rows(one, table)
    numbers = [name for name in places if kind.by_name[name].type == "decimal"]
    mark = form.decimal or _mark(rows, table, [places[name] for name in numbers])
    expected = Counter(_read_row(kind, places, cells, mark, options["symbol"]) for cells in rows)
    found.compared += 1
    for record in data.select(kind, batch=receipt.batch):
        got = _stored_row(kind, places, record)
        found.rows += 1
        written = [got, *_written_below_zero(kind, places, record, got)]
        for known in (*written, *((None, *each[1:]) for each in written)):
            if expected[known]:
                expected[known] -= 1
                found.instants += known[0] is not None
                break
        else:
            return f"stored, and in no row of the file: {dict(zip(['time', *places], got, strict=True))}; mark {mark!r}"
    return None


def _rows(one: Mutated, table: Sniffed) -> list[list[str]]:
    """Return the records of a text that are as wide as its header, which is among them."""
    assert table.encoding is not None
    assert table.delimiter is not None
    width = len(table.columns)
    rows = []
    text = one.content.decode(table.encoding, "surrogateescape" if table.encoding.startswith("utf-8") else "replace")
    for cells in records_of(_from_header(text.removeprefix("\ufeff"), table), table.delimiter):
        while len(cells) > width and not cells[-1]:
            cells.pop()
        if len(cells) == width:
            rows.append(cells)
    return rows


def _from_header(text: str, table: Sniffed) -> str:
    """Return a text from its header on: what stands above it are lines, whatever quotes they have."""
    lines = list(io.StringIO(text, newline=""))
    for number, line in enumerate(lines):
        with contextlib.suppress(csv.Error):
            cells = next(csv.reader([line], delimiter=table.delimiter or ",", strict=True), [])
            if [cell.strip() for cell in cells] == list(table.columns):
                return "".join(lines[number:])
    return text


def _places(kind: Kind, table: Sniffed, form: Format) -> dict[str, int]:
    """Return the columns of the fields that are compared: one column each, of a name that no other has."""
    return {
        name: table.columns.index(column)
        for name, (column, _) in table.fields.items()
        if table.columns.count(column) == 1
        and name not in form.values
        and (kind.by_name[name].type == "decimal" or name in {"symbol", "timestamp"})
        and name not in table.fills
    }


def _mark(rows: Sequence[Sequence[str]], table: Sniffed, places: Sequence[int]) -> str | None:
    header = next(
        (number for number, cells in enumerate(rows) if [c.strip() for c in cells] == list(table.columns)), -1
    )
    return mark_of([cells[place] for cells in rows[header + 1 : header + 1 + SAMPLE] for place in places])


def _read_row(
    kind: Kind, places: dict[str, int], cells: Sequence[str], mark: str | None, symbol: str
) -> tuple[Any, ...]:
    """Return a row of the file: its instant, None where only the reader's other rules tell it, and its values."""
    values: list[Any] = []
    instant = None
    for name, place in places.items():
        if name == "timestamp":
            instant = None if kind.name == "bars" else instant_of(cells[place])
            values.append(None)
        elif name == "symbol":
            values.append(cells[place].strip() or symbol)
        else:
            value = number_of(cells[place], mark)
            values.append(DEFAULTS.get(name) if value == MISSING else value)
    return (instant, *values)


def _stored_row(kind: Kind, places: dict[str, int], record: Any) -> tuple[Any, ...]:
    values = [None if name == "timestamp" else getattr(record, kind.by_name[name].field) for name in places]
    return (int(record.ts_ns) if "timestamp" in places else None, *values)


def _written_below_zero(
    kind: Kind, places: dict[str, int], record: Any, got: tuple[Any, ...]
) -> Iterator[tuple[Any, ...]]:
    """Yield how a file may have a fill besides: brokers write the quantity of a sale, and of a sale alone, below zero."""
    if kind.name == "fills" and "quantity" in places and record.side == "sell":
        place = 1 + list(places).index("quantity")
        yield (*got[:place], -got[place], *got[place + 1 :])


def test_files_changed_at_random(tmp_path: Path) -> None:
    """Of some hundred changed files each is stored as it stands, or refused by an error of this project."""
    found = torture(tmp_path, 600)
    assert found.failures == []
    assert found.files == 600
    assert found.stored > 100
    assert found.compared > 50


@pytest.mark.torture
@pytest.mark.parametrize("first", range(1_000, 101_000, 20_000))
def test_many_files_changed_at_random(tmp_path: Path, first: int) -> None:
    """Of 100,000 changed files each is stored as it stands, or refused by an error of this project, in bounded memory."""
    found = torture(tmp_path, 20_000, first=first)
    sys.stdout.write(f"{found}, at most {found.peak} MB\n")  # shown with -s
    assert found.failures == []
    assert found.peak < MEGABYTES
