"""The built-in formats of vendors, as tables of data: one module per family."""

from __future__ import annotations

from fpa_core.formats import FormatOffer
from fpa_plugins.files.vendors import (
    actions,
    alpaca,
    brokers,
    crypto,
    databento,
    equities,
    forex,
    histories,
    massive,
    platforms,
    publishers,
    tardis,
)

__all__ = ["BUILT_IN"]

_FAMILIES = (
    crypto,
    tardis,
    databento,
    massive,
    alpaca,
    equities,
    publishers,
    forex,
    platforms,
    brokers,
    histories,
    actions,
)

BUILT_IN: tuple[FormatOffer, ...] = tuple(offer for family in _FAMILIES for offer in family.FORMATS)
"""All of them; their names are unique."""
