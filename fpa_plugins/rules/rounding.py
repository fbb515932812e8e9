"""Round quotients, such as means and ratios, for messages."""

from __future__ import annotations

from decimal import Context, Decimal

from fpa_core.numbers import decimal_text

__all__ = ["rounded"]

_EIGHT = Context(prec=8)


def rounded(number: Decimal) -> str:
    """Return a number with at most eight significant digits; equal numbers give equal texts."""
    return decimal_text(_EIGHT.plus(number))
