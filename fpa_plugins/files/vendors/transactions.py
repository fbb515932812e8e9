"""Histories of accounts, in which one word of a row tells what it is: a purchase, a sale, or cash that came or went.

Arrow is imported when a function runs, not before: the tables are loaded whenever formats are listed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import evolve

from fpa_core.exceptions import DataError
from fpa_core.formats import Format, FormatOffer, Match, Prepare
from fpa_core.numbers import decimal_text, to_decimal

if TYPE_CHECKING:
    from fpa_plugins.files.rows import Rows

__all__ = [
    "AMOUNT",
    "CURRENCY",
    "FEE",
    "ID",
    "ROW",
    "SIDE",
    "TYPE",
    "WORD",
    "Expand",
    "exchanged",
    "history",
    "number_of",
    "texts_or_none",
    "transactions",
    "with_columns",
    "with_word",
]

ROW, SIDE, TYPE, FEE = "(made) row", "(made) side", "(made) type", "(made) fee"
"""Columns that are made: whether a row is of ``fills`` or ``cash``; the side of a fill; the type of a cash flow; all fees together."""

WORD, AMOUNT, CURRENCY, ID = "(made) word", "(made) amount", "(made) currency", "(made) id"
"""Columns that :func:`exchanged` and :func:`with_word` make."""

FILLS, CASH = "fills", "cash"

Expand = Callable[["Rows"], "Rows"]


def transactions(
    word: str,
    meanings: Mapping[str, str],
    *,
    amount: str | None = None,
    fees: Sequence[str] = (),
    charged_below_zero: bool = False,
    before: Expand | None = None,
) -> Prepare:
    """Return a function that adds the columns :data:`ROW`, :data:`SIDE`, :data:`TYPE` and :data:`FEE` to rows.

    A row whose word has no meaning becomes a cash flow of that type, which no cash flow has: so it is set aside with the word, and not dropped.

    :param word: the column that tells what a row is; several, joined by a blank, as ``"Type Code"`` is not.
    :param meanings: ``buy``, ``sell`` or a type of cash flows by the words, in lower case; one that ends with ``*`` stands for all words that begin
        so. ``deposit|withdrawal`` is the first for an amount of zero or more, and the second for one below.
    :param amount: the column whose sign decides between two.
    :param fees: the columns of fees, which are added up; those that a file does not have count nothing.
    :param charged_below_zero: whether a fee that was paid is written below zero.
    :param before: changes the rows first.
    """
    plain = {key: meaning for key, meaning in meanings.items() if not key.endswith("*")}
    starts = [(key[:-1], meaning) for key, meaning in meanings.items() if key.endswith("*")]

    def meaning_of(text: str, cells: str | None) -> str:
        key = re.sub(r"\s+", " ", text.strip()).lower()
        found = plain.get(key) or next((meaning for start, meaning in starts if key.startswith(start)), text.strip())
        if "|" not in found:
            return found
        first, second = found.split("|")
        number = number_of(cells)
        return second if number is not None and number < 0 else first

    def prepare(rows: Rows, said: Format) -> Rows:  # noqa: ARG001 - every one is told
        if before is not None:
            rows = before(rows)
        words = _texts(rows, word)
        signs = [None] * len(words) if amount is None else _texts(rows, amount)
        told = [meaning_of(text or "", sign) for text, sign in zip(words, signs, strict=True)]
        traded = [each in ("buy", "sell") for each in told]
        made: dict[str, list[str | None]] = {
            ROW: [FILLS if one else CASH for one in traded],
            SIDE: [each if one else None for each, one in zip(told, traded, strict=True)],
            TYPE: [None if one else each for each, one in zip(told, traded, strict=True)],
            FEE: _fees(rows, fees, Decimal(-1 if charged_below_zero else 1)),
        }
        return with_columns(rows, made)

    return prepare


def history(
    name: str,
    description: str,
    match: Match,
    prepare: Prepare,
    *,
    fills: Mapping[str, str | tuple[str, ...]],
    cash: Mapping[str, str | tuple[str, ...]],
    form: Format,
    only: Mapping[str, tuple[str, ...]] | None = None,
) -> tuple[FormatOffer, FormatOffer, FormatOffer]:
    """Return the formats of a broker's history: the one that is recognised, and those of its fills and of its cash.

    :param name: of the format; those of its parts end with ``_fills`` and ``_cash``.
    :param fills: the columns of fills beside the side; *cash* those of cash flows beside the type.
    :param form: what both parts have in common.
    :param only: rows that count, by the values of a column (see :attr:`Format.only <fpa_core.formats.Format.only>`).
    """
    common = evolve(form, complete=True)
    return (
        FormatOffer(
            name,
            Format(
                divide_by=ROW,
                parts={FILLS: f"{name}_fills", CASH: f"{name}_cash"},
                only=only or {},
                match=match,
            ),
            description,
            prepare,
        ),
        FormatOffer(
            f"{name}_fills", evolve(common, kind="fills", columns={"side": SIDE, **fills}), f"{description}: fills"
        ),
        FormatOffer(
            f"{name}_cash", evolve(common, kind="cash", columns={"flow_type": TYPE, **cash}), f"{description}: cash"
        ),
    )


def with_word(*names: str) -> Expand:
    """Return a function that joins the words of several columns, those that are there, by a blank, as :data:`WORD`."""

    def expand(rows: Rows) -> Rows:
        found = [texts_or_none(rows, name) for name in names]
        words = [" ".join(text for text in row if text) for row in zip(*found, strict=True)]
        return with_columns(rows, {WORD: words})

    return expand


def exchanged(
    rows: Rows,
    words: Sequence[str | None],
    legs: Mapping[int, Sequence[tuple[str, str, Decimal]]],
    *,
    amount: str,
    currency: str,
    id_: str,
    replaced: frozenset[int] = frozenset(),
) -> Rows:
    """Return rows, and behind some of them one for each side of an exchange of currencies that they tell of.

    The columns :data:`WORD`, :data:`AMOUNT`, :data:`CURRENCY` and :data:`ID` are made; both sides have no id, as they would share that of the row.

    :param legs: word, currency and amount of each side, by the index of a row.
    :param replaced: rows that are nothing but an exchange.
    """
    own = [texts_or_none(rows, name) for name in (amount, currency, id_)]
    order: list[int] = []
    made: list[tuple[str | None, ...]] = []
    for index, word in enumerate(words):
        if index not in replaced:
            order.append(index)
            made.append((word, *(column[index] for column in own)))
        for turned, into, number in legs.get(index, ()):
            order.append(index)
            made.append((turned, decimal_text(number), into, None))
    columns = zip(*made, strict=True) if made else ((),) * 4
    return with_columns(rows.take(order), dict(zip((WORD, AMOUNT, CURRENCY, ID), columns, strict=True)))


def with_columns(rows: Rows, made: Mapping[str, Sequence[str | None]]) -> Rows:
    """Return rows with further columns of texts, by name."""
    import pyarrow as pa

    arrays = [pa.array(values, pa.string()) for values in made.values()]
    width, strangers = len(rows.names), rows.strangers
    return evolve(
        rows,
        names=(*rows.names, *made),
        cells=[*rows.cells, *arrays],
        strangers=lambda column: strangers(column) if column < width else {},
    )


def texts_or_none(rows: Rows, name: str) -> list[str | None]:
    """Return the texts of a column; none in every row if there is no such column."""
    return [None] * len(rows.positions) if _place(rows.names, name) is None else _texts(rows, name)


def _texts(rows: Rows, name: str) -> list[str | None]:
    from fpa_plugins.files.cells import texts_of

    place = _place(rows.names, name)
    if place is None:
        raise DataError(f"no column {name!r}", hint="keep the header of the vendor")
    found: list[str | None] = texts_of(rows.cells[place])[0].to_pylist()
    return found


def _place(names: Sequence[str], wanted: str) -> int | None:
    folded = [name.strip().lower() for name in names]
    return folded.index(wanted.lower()) if wanted.lower() in folded else None


def _fees(rows: Rows, names: Sequence[str], factor: Decimal) -> list[str | None]:
    """Return the sum of fees in each row; a cell that is no number stands for itself, so that its row is set aside with it."""
    there = [_texts(rows, name) for name in names if _place(rows.names, name) is not None]
    found: list[str | None] = []
    for cells in zip(*there, strict=True) if there else ((),) * len(rows.positions):
        present = [text for text in cells if text and text.strip() not in ("", "-", "--")]
        numbers = [number_of(text) for text in present]
        wrong = next((text for text, number in zip(present, numbers, strict=True) if number is None), None)
        total = sum((number for number in numbers if number is not None), Decimal(0)) * factor
        found.append(wrong if wrong is not None else decimal_text(total) if present else None)
    return found


def number_of(text: str | None) -> Decimal | None:
    """Return the number that a cell shows: with a currency's sign, commas between thousands, or in parentheses for one below zero."""
    if text is None:
        return None
    bare = re.sub(r"[$€£,\s]", "", text)
    negative = bare.startswith("(") and bare.endswith(")")
    try:
        number = to_decimal(bare.strip("()"))
    except DataError:
        return None
    return -number if negative else number
