"""Strictness: what each type takes, what it refuses, and what it says then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Self

import attrs
import pytest

from fpa_core.config import Duration, EnvString, Lifetime, Secret
from fpa_core.config.converter import ConfigConverter
from fpa_core.config.problems import Origin, display
from fpa_core.config.scalars import ConversionErrors


class Word(StrEnum):
    """Words."""

    FULL = "full"
    OFF = "off"


class Number(IntEnum):
    """Numbers."""

    ONE = 1
    TWO = 2


class Mixed(Enum):
    """Words and numbers."""

    ONE = 1
    MANY = "many"


class Even(int):
    """A number that is choosy."""

    def __new__(cls, value: int) -> Self:
        if value % 2:
            raise ValueError("even numbers only")
        return super().__new__(cls, value)


Port = NewType("Port", int)


@attrs.frozen
class Point:
    """A table."""

    x: int
    y: int = 0


@pytest.fixture
def converter(tmp_path):
    """Structures values for a configuration in a temporary folder."""
    return ConfigConverter(tmp_path)


GOOD = [
    (True, bool, True),
    (EnvString("TRUE"), bool, True),
    (5, int, 5),
    (EnvString("1_000"), int, 1000),
    (Secret("5432"), int, 5432),
    (5, Port, 5),
    (5, float, 5.0),
    (EnvString("0.5"), float, 0.5),
    ("x", str, "x"),
    (EnvString("5"), str, "5"),
    ("0.10", Decimal, Decimal("0.10")),
    (0.1, Decimal, Decimal("0.1")),
    (7, Decimal, Decimal(7)),
    (EnvString("7"), Decimal, Decimal(7)),
    ("5m", Duration, 300.0),
    (2, Duration, 2.0),
    (EnvString("2.5"), Duration, 2.5),
    (EnvString("2s"), Duration, 2.0),
    (5, int | None, 5),
    ("never", Lifetime, None),
    (EnvString("Never"), Lifetime, None),
    ("1s", Lifetime, 1.0),
    ("1h", timedelta, timedelta(hours=1)),
    (date(2024, 5, 1), date, date(2024, 5, 1)),
    (EnvString("2024-05-01"), date, date(2024, 5, 1)),
    (time(9, 30), time, time(9, 30)),
    (datetime(2024, 5, 1, tzinfo=UTC), datetime, datetime(2024, 5, 1, tzinfo=UTC)),
    ("FULL", Word, Word.FULL),
    (2, Number, Number.TWO),
    (EnvString("2"), Number, Number.TWO),
    ("many", Mixed, Mixed.MANY),
    ("a", Literal["a", "b"], "a"),
    (4, Even, Even(4)),
    ([1, 2], tuple[int, ...], (1, 2)),
    ([1, "x"], tuple[int, str], (1, "x")),
    (["a"], list[str], ["a"]),
    (["a", "a"], frozenset[str], frozenset({"a"})),
    (["a", "a"], set[str], {"a"}),
    (["a"], Sequence[str], ("a",)),
    (["a"], AbstractSet[str], frozenset({"a"})),
    ([1, "a"], list, [1, "a"]),
    (EnvString("a, b"), tuple[str, ...], ("a", "b")),
    (EnvString("[1, 2]"), tuple[int, ...], (1, 2)),
    ({"a": 1}, Mapping[str, int], {"a": 1}),
    ({"a": 1}, dict, {"a": 1}),
    ({"x": 1}, Point, Point(1)),
    ([{"x": 1}, {"x": 2, "y": 3}], list[Point], [Point(1), Point(2, 3)]),
    ("x", int | str, "x"),
    (EnvString("5"), str | int, 5),
    (EnvString("memory"), str | tuple[str, ...], "memory"),
    (EnvString("a,b"), str | tuple[str, ...], ("a", "b")),
    ([1], int | list[int], [1]),
    ("x", Any, "x"),
    ("x", object, "x"),
    (5, Annotated[int, "some note"], 5),
]


@pytest.mark.parametrize(("value", "target", "made"), GOOD)
def test_what_fits_is_taken(converter, value, target, made):
    """A value that is of its type, or is text of the environment that spells one, arrives as that type."""
    result = converter.structure(value, target)
    assert result == made
    assert type(result) is type(made) or isinstance(value, Secret)


BAD = [
    ("maybe", bool, "expected true or false"),
    (1, bool, "expected true or false"),
    (EnvString("yes"), bool, "expected true or false"),
    (True, int, "expected a whole number"),
    ("5", int, "expected a whole number"),
    (5.0, int, "expected a whole number"),
    (EnvString("5\ny = 6"), int, "expected a whole number"),
    (EnvString(""), int, "expected a whole number"),
    (True, float, "expected a number"),
    ("0.5", float, "expected a number"),
    (float("nan"), float, "expected a finite number"),
    (float("inf"), float, "expected a finite number"),
    (10**400, float, "expected a finite number"),
    (5, str, "expected text"),
    (["a"], str, "expected text"),
    (True, Decimal, "expected a decimal number"),
    (float("nan"), Decimal, "expected a decimal number"),
    ("5 parsecs", Duration, "expected a duration"),
    (-1, Duration, "expected a duration"),
    (10**400, Duration, "expected a duration"),
    (EnvString("[1]"), Duration, "expected a duration"),
    (EnvString("x"), Duration, "expected a duration"),
    ("ever", Lifetime, 'or "never"'),
    (1e300, timedelta, "shorter duration"),
    ("2024-05-01", date, "expected a date"),
    (datetime(2024, 5, 1, tzinfo=UTC), date, "expected a date"),
    ("ful", Word, "expected one of full, off"),
    (3, Number, "expected one of 1, 2"),
    (True, Number, "expected one of 1, 2"),
    ("c", Literal["a", "b"], "expected one of a, b"),
    (3, Even, "even numbers only"),
    ("", Path, "expected a path"),
    ("a\0b", Path, "expected a path"),
    ("~no-such-user-here/x", Path, "the home folder is unknown"),
    (5, Path, "expected text"),
    ("ab", tuple[str, ...], "expected a list"),
    (EnvString("[1"), tuple[int, ...], "expected a list"),
    ([1], tuple[int, str], "expected a list of 2"),
    ([], Mapping[str, int], "expected a table"),
    (5, Point, "expected a table"),
    (True, int | str, "expected a whole number or text"),
    ({"x": "a"}, Point | str, "expected a whole number"),
    ("x", complex, "cannot be converted"),
]


@pytest.mark.parametrize(("value", "target", "expected"), BAD)
def test_what_does_not_fit_says_what_would(converter, value, target, expected):
    """No value is bent to fit: a text is no number, a number no text, and nothing but true is true."""
    with pytest.raises(ConversionErrors) as caught:
        converter.structure(value, target)
    (error,) = caught.value.errors
    assert expected in error.expected


def test_all_errors_are_found_with_their_paths(converter):
    """Errors in lists, tables and nested classes are all reported, each with its path."""
    with pytest.raises(ConversionErrors) as caught:
        converter.structure({"a": [{"x": 1}, {"y": "b", "z": 1}], "b": 5}, dict[str, list[Point]])
    assert [error.path for error in caught.value.errors] == [("a", 1, "z"), ("a", 1, "x"), ("a", 1, "y"), ("b",)]


def test_paths_are_relative_to_the_file_and_in_a_shell_to_its_folder(converter, tmp_path, monkeypatch):
    """What the file says is relative to the file, a default too; what a shell says is relative to where the shell is."""
    (elsewhere := tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert converter.structure("x.db", Path) == tmp_path / "x.db"
    assert converter.structure(Secret("x.db"), Path) == tmp_path / "x.db"
    assert converter.structure(EnvString("x.db"), Path) == elsewhere / "x.db"
    assert converter.structure("~/x.db", Path) == tmp_path / "x.db"


def test_every_validator_is_asked_even_when_another_field_is_wrong(converter):
    """Validators and converters of all fields have their say at once, and those of several fields when all are there."""

    def above_low(instance: Any, _: Any, value: int) -> None:
        if value < instance.low:
            raise ValueError("high must be above low")

    def positive(_: Any, __: Any, value: int) -> None:
        if value < 0:
            raise ValueError

    @attrs.frozen
    class Range:
        low: int = attrs.field(validator=positive)
        high: int = attrs.field(validator=above_low)
        _step: int = attrs.field(default=2, converter=Even)
        name: str = attrs.field(default="", converter=attrs.Converter(lambda value, _: value, takes_self=True))
        untyped = attrs.field(default=None)
        derived: int = attrs.field(default=0, init=False)

    def errors(table: dict[str, Any]) -> dict[tuple[Any, ...], str]:
        with pytest.raises(ConversionErrors) as caught:
            converter.structure_class(table, Range)
        return {error.path: error.expected for error in caught.value.errors}

    assert errors({"low": -1, "high": "x", "step": 3}) == {
        ("low",): "not allowed: ValueError",
        ("high",): "expected a whole number",
        ("step",): "not allowed: even numbers only",
    }
    assert errors({"low": 5, "high": 1}) == {(): "not allowed: high must be above low"}
    assert converter.structure_class({"low": 1, "high": 2, "name": "x", "untyped": 5}, Range).high == 2


def test_annotations_that_cannot_be_resolved(converter):
    """A class whose annotations name what is not there is told, not crashed on."""

    @attrs.frozen
    class Broken:
        x: "Missing"  # noqa: F821, UP037

    with pytest.raises(ConversionErrors) as caught:
        converter.structure({}, Broken)
    assert "cannot be resolved" in caught.value.errors[0].expected


def test_values_are_shown_as_in_the_file():
    """Texts in quotes, words in lower case, long values cut, line ends visible, secrets masked wherever they are."""
    assert display({"a": [True, "x\ny", 1.5], "password": "p"}) == '{a = [true, "x\\ny", 1.5], password = ***}'
    assert display("x" * 100) == '"' + "x" * 79 + "…"
    assert display([Secret("s")]) == "[***]"
    assert display("s", "api_key") == "***"


def test_an_origin_of_a_value_without_a_line():
    """An origin says what it knows."""
    assert str(Origin("file", file=Path("fpa.toml"))) == "fpa.toml"
    assert str(Origin("file")) == "?"
