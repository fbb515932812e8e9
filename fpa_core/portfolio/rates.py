"""Rates of exchange, which are given or stored, never guessed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

from fpa_core.converters import Number
from fpa_core.exceptions import DataError
from fpa_core.numbers import ns_text, to_decimal

__all__ = ["Rates", "StoredRate"]

StoredRate = Callable[[str, int], Fraction | None]
"""Returns the price of a pair of currencies, by its symbol, at an instant; None if there is none."""


class Rates:
    """Rates of exchange between currencies.

    :param given: prices by pair, as ``{"EURUSD": "1.0850"}``: one EUR is that many USD. They hold at any time.
    :param stored: looks up the price of a pair at an instant: the last one before it.
    """

    def __init__(self, given: Mapping[str, Number] | None = None, stored: StoredRate | None = None) -> None:
        self._given: dict[str, Fraction] = {}
        for pair, price in (given or {}).items():
            rate = Fraction(to_decimal(price, f"rates.{pair}"))
            if rate <= 0:
                raise DataError(f"rates: the rate of {pair} is not above zero", field="rates", value=price)
            self._given[_squeezed(pair)] = rate
        self._stored = stored

    def convert(self, amount: Fraction, currency: str, into: str, at_ns: int) -> Fraction:
        """Return an amount in another currency, at the rate of an instant. An inverse rate is used where only that is known.

        :raises DataError: if there is no rate.
        """
        if currency == into or not amount:
            return amount
        rate = self._rate(currency, into, at_ns)
        if rate is None:
            inverse = self._rate(into, currency, at_ns)
            if not inverse:
                raise DataError(
                    f"there is no rate from {currency} to {into} at {ns_text(at_ns)}",
                    hint=f'give one, as rates={{"{currency}{into}": ...}}, or store bars, trades or quotes of {currency}{into}',
                    field="rates",
                    value=f"{currency}{into}",
                )
            rate = 1 / inverse
        return amount * rate

    def _rate(self, base: str, quote: str, at_ns: int) -> Fraction | None:
        given = self._given.get(base + quote)
        if given is not None or self._stored is None:
            return given
        for pair in (f"{base}{quote}", f"{base}/{quote}", f"{base}.{quote}", f"{base}-{quote}"):
            if (price := self._stored(pair, at_ns)) is not None:
                return price
        return None


def _squeezed(pair: str) -> str:
    return pair.translate({ord(mark): None for mark in "/.-_ "})
