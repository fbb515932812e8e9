"""Numbers in files: detect the decimal mark, and parse the exact values.

``1,169.58`` and ``1.169,58`` are one number in two styles; ``1,169`` is ambiguous. So the style is detected from unambiguous numbers of the file, or
given by the user. Ambiguous numbers without either are rejected, not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from fpa_core.arrow import columns, parsing
from fpa_core.exceptions import DataError
from fpa_core.numbers import EXACT, decimal_text, to_decimal
from fpa_core.words import NULLS
from fpa_plugins.files.cells import Problems

__all__ = ["NumberStyle", "canonical", "decided_mark", "read_numbers"]

_PLAIN = r"^[+-]?(\d+\.?\d*|\.\d+)$"
_CURRENCIES = "$€£¥₹"
_WRAPPED = re.compile(
    rf"(?P<s>[+-]?)[{_CURRENCIES}]?(?P<s2>[+-]?)(?P<body>[\d.,' ]+(?:[eE][+-]?\d{{1,9}})?)(?P<m>[KkMmBb]?)", re.ASCII
)
_MAGNITUDES = {"k": 10**3, "m": 10**6, "b": 10**9}


def _evidence(mark: str, other: str) -> re.Pattern[str]:
    """Return the pattern of numbers in which *mark* can only be the decimal mark."""
    m, o = re.escape(mark), re.escape(other)
    return re.compile(
        rf"\d*{m}(?:\d{{1,2}}|\d{{4,}})|\d{{4,}}{m}\d+|0{m}\d+|{m}\d+|\d{{1,3}}(?:{o}\d{{3}})+{m}\d*|\d{{1,3}}(?:{o}\d{{3}}){{2,}}",
        re.ASCII,
    )


_SURE = {".": _evidence(".", ","), ",": _evidence(",", ".")}
_EITHER = re.compile(r"[1-9]\d{0,2}[.,]\d{3}", re.ASCII)


@frozen
class NumberStyle:
    """How the numbers of a file are written.

    :ivar decimal: the decimal mark; ``thousands`` the mark between groups of three digits, None where there may be none.
    :ivar magnitudes: whether K, M and B may stand at the end.
    :ivar nulls: further spellings of a missing value, in lower case.
    """

    decimal: str = "."
    thousands: str | None = None
    magnitudes: bool = False
    nulls: frozenset[str] = frozenset()

    @property
    def is_plain(self) -> bool:
        """Whether numbers are written as programs write them."""
        return self.decimal == "." and not self.magnitudes


def decided_mark(samples: Iterable[Iterable[str | None]]) -> tuple[str | None, str | None]:
    """Return the decimal mark that the numbers of a file show, and the first number before that could be two; None for none.

    A point decides: if there is evidence for both, the numbers with a comma are rejected row by row.
    """
    comma = False
    either = None
    for sample in samples:
        for text in sample:
            if not text:
                continue
            bare = text.strip().strip(f"()+-{_CURRENCIES} ")
            if _SURE["."].fullmatch(bare):
                return ".", either
            comma = comma or _SURE[","].fullmatch(bare) is not None
            if either is None and _EITHER.fullmatch(bare):
                either = text
    return ("," if comma else None), either


def canonical(text: str, style: NumberStyle) -> str | None:
    """Return a number as plain decimal text, or None for a missing one.

    :raises DataError: if it is not a number, or is ambiguous.
    """
    trimmed = text.strip()
    if trimmed.lower() in NULLS or trimmed.lower() in style.nulls:
        return None
    negative = len(trimmed) > 2 and trimmed[0] == "(" and trimmed[-1] == ")"
    match = _WRAPPED.fullmatch(trimmed[1:-1].strip() if negative else trimmed)
    if match is None or (match["s"] and match["s2"]) or (match["m"] and not style.magnitudes):
        return decimal_text(to_decimal(trimmed))  # its message says what is wrong
    sign = match["s"] or match["s2"]
    if negative and sign:
        return decimal_text(to_decimal(text))
    number = to_decimal(_without_groups(match["body"].strip(), text, style))
    if match["m"]:
        number = EXACT.multiply(number, Decimal(_MAGNITUDES[match["m"].lower()]))
    return decimal_text(-number if negative or sign == "-" else number)


def _without_groups(body: str, text: str, style: NumberStyle) -> str:
    """Return the digits of a number with a point as the decimal mark."""
    whole, mark, fraction = body.partition(style.decimal)
    if style.thousands and style.thousands in whole:
        if not re.fullmatch(rf"\d{{1,3}}(?:{re.escape(style.thousands)}\d{{3}})+", whole):
            raise DataError(f"value: {text!r} is not a decimal number", value=text)
        whole = whole.replace(style.thousands, "")
    elif style.decimal == "." and _EITHER.fullmatch(body) and "," in body:
        raise DataError(
            f"value: {text!r} can be a whole number or a fraction", hint="use --decimal . or --decimal ,", value=text
        )
    elif not (whole + fraction).replace("e", "").replace("E", "").replace("-", "").replace("+", "").isdigit():
        raise DataError(f"value: {text!r} is not a decimal number", value=text)
    return f"{whole}{'.' if mark else ''}{fraction}"


def read_numbers(style: NumberStyle, texts: pa.Array, scale: Decimal | None = None) -> tuple[pa.Array, Problems]:
    """Return *texts* as a decimal column, multiplied by *scale*, and what could not be read."""
    if style.is_plain and scale is None:
        found = columns.narrowest_decimal_type(texts)
        if found is not None:
            try:
                return texts.cast(found), {}
            except pa.ArrowInvalid:
                pass
    return _read_odd(style, texts, scale)


def _read_odd(style: NumberStyle, texts: pa.Array, scale: Decimal | None) -> tuple[pa.Array, Problems]:
    """Parse distinct texts one by one; usually they are few."""
    if style.is_plain and scale is None:
        odd = pc.invert(pc.fill_null(pc.match_substring_regex(texts, _PLAIN), True))
    else:
        odd = texts.is_valid()
    encoded = texts.filter(odd).dictionary_encode()
    values: list[str | None] = []
    wrong: dict[int, str] = {}
    for code, text in enumerate(encoded.dictionary.to_pylist()):
        try:
            value = canonical(text, style)
            if value is not None and scale is not None:
                value = decimal_text(to_decimal(EXACT.multiply(Decimal(value), scale)))
            values.append(value)
        except DataError as error:
            values.append(None)
            wrong[code] = error.message.split(": ", 1)[-1]
    mended = pc.replace_with_mask(texts, odd, pa.array(values, pa.string()).take(encoded.indices))
    problems: Problems = {}
    if wrong:
        places = pc.indices_nonzero(odd).to_pylist()
        problems = {
            places[position]: wrong[code] for position, code in enumerate(encoded.indices.to_pylist()) if code in wrong
        }
    found, more = parsing.parse_decimals(mended)
    return found, problems | more
