"""Files as people have them become exactly what they hold, or are refused with the cause and what mends it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from expected_of_cases import CASES, Entry

import fpa_core
from fpa_core.exceptions import DataError
from fpa_core.identity import MARK
from fpa_core.kinds import KINDS, kind_of
from fpa_core.layer import DataLayer

FOLDER = Path(__file__).parents[1] / "cases"
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def _parameters() -> Iterator[object]:
    for name, entries in CASES.items():
        for entry in entries:
            said = " ".join(f"{key}={value}" for key, value in entry.options.items())
            marks = () if entry.wrong is None else (pytest.mark.xfail(strict=True, reason=entry.wrong),)
            yield pytest.param(name, entry, id=f"{name}: {'+'.join(entry.files)} {said}".strip(), marks=marks)


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataLayer]:
    """Open a data layer over an empty database."""
    config = tmp_path / "fpa.toml"
    config.write_text('[store]\npath = "cases.db"\n', "utf-8")
    with fpa_core.open(config) as layer:
        yield layer


def _held(data: DataLayer) -> Counter[object]:
    return Counter(_without_made_id(record) for kind in KINDS for record in data.select(kind))


def _without_made_id(record: Any) -> Any:
    """Return a record without an id that the store made: what it is made of is tested elsewhere."""
    made = KINDS[kind_of(record).name].made_id
    return evolve(record, **{made: None}) if made and getattr(record, made).startswith(MARK) else record


@pytest.mark.parametrize(("name", "entry"), list(_parameters()))
def test_a_file_becomes_what_it_holds(data: DataLayer, name: str, entry: Entry):
    """Files become exactly the records they hold and rows that are set aside with the reason, or an error that says how to go on."""
    paths = [FOLDER / name / file for file in entry.files]
    if entry.refusal:
        (path,) = paths
        with pytest.raises(DataError) as caught:
            data.ingest(path, **entry.options)
        text = str(caught.value)
        assert [word for word in entry.refusal if word.lower() not in text.lower()] == [], text
        assert not CONTROL.search(text)
        assert Counter() == _held(data)
        return
    receipts = [data.ingest(path, **entry.options) for path in paths]
    assert Counter(entry.records) == _held(data)
    aside = {record.row: str(record.findings) for record in data.quarantine.list()}
    assert set(entry.rejected) == set(aside), aside
    for row, word in entry.rejected.items():
        assert word in aside[row]
    assert entry.flags <= set(receipts[-1].warnings), receipts[-1].warnings


def test_every_file_has_an_expectation():
    """No file of the cases is left out, and no expectation is of a file that is not there."""
    there = {
        (path.parent.name, path.name)
        for path in FOLDER.glob("*/*")
        if path.name != "EXPECT.txt" and not path.name.startswith(".")
    }
    told = {(name, file) for name, entries in CASES.items() for entry in entries for file in entry.files if file != "."}
    assert there == told


def _good(entries: tuple[Entry, ...]) -> bool:
    """Return whether the good files of a case are stored with hardly anything said; good are those that nothing more has to be asked about."""
    simple = {file for entry in entries if entry.simple for file in entry.files}
    asked = {file for entry in entries if entry.refusal for file in entry.files}
    ever = {file for entry in entries if not entry.refusal for file in entry.files}
    return bool(simple) and ever - asked <= simple


def test_most_files_of_vendors_need_hardly_a_word():
    """The good files of most cases are stored with no more said than the format, the zone, the symbol and the interval."""
    cases = {name: entries for name, entries in CASES.items() if name[0] in "AB"}
    good = [name for name, entries in cases.items() if _good(entries)]
    left = sorted(set(cases) - set(good))
    assert len(good) >= 48, f"{len(good)} of {len(cases)}; the others: {', '.join(left)}"
