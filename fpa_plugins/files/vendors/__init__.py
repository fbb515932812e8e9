"""The formats of vendors that come in the box."""

from fpa_core.formats import FormatOffer

__all__ = ["BUILT_IN"]

BUILT_IN: tuple[FormatOffer, ...] = ()
"""All of them."""
