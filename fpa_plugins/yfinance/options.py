"""The options of the source ``yfinance``."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen, validators

from fpa_core.calendars import calendar_code
from fpa_core.config import Duration

__all__ = ["YfinanceOptions"]


@frozen
class YfinanceOptions:
    """Keys of ``[sources.yfinance]``. There are no keys of an account: the data are public.

    :ivar prices: which prices are stored. ``raw``: those that were traded. ``splits``: adjusted for splits, as Yahoo sends them.
        ``adjusted``: for splits and dividends.
    :ivar prepost: whether bars within the day include those before and after the regular hours.
    :ivar timeout: how long a request may take, in seconds.
    :ivar tries: how often a request is tried when the failure may pass.
    :ivar backoff: the first pause between two tries, in seconds; it doubles up to 60 s.
    :ivar requests_per_minute: how often Yahoo is asked at most; it does not publish its limit.
    :ivar settles: the age from which on history is final.
    :ivar calendar: the exchange whose sessions say when there are data; ``none`` if there are data at any time.
    :ivar url: another host for all addresses of Yahoo, as ``https://mirror.example``.
    """

    prices: Literal["raw", "splits", "adjusted"] = "raw"
    prepost: bool = False
    timeout: Duration = field(default=30.0, validator=validators.gt(0))
    tries: int = field(default=5, validator=validators.ge(1))
    backoff: Duration = field(default=2.0, validator=validators.gt(0))
    requests_per_minute: int = field(default=60, validator=validators.ge(1))
    settles: Duration = field(default=3_600.0, validator=validators.ge(0))
    calendar: str | None = field(default="XNYS", converter=calendar_code)
    url: str | None = None
