"""The options of the source ``ccxt``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen, validators

from fpa_core.config import Duration

__all__ = ["CcxtOptions"]


@frozen
class CcxtOptions:
    """Keys of ``[sources.NAME]`` with ``backend = "ccxt"``. There are no keys of an account: market data are public.

    :ivar exchange: the id that ccxt has for the exchange.
    :ivar timeout: how long a request may take, in seconds.
    :ivar tries: how often a request is tried when the failure may pass.
    :ivar backoff: the first pause between two tries, in seconds; it doubles up to 30 s.
    :ivar page_rows: rows asked for in one request; exchanges give fewer as they like.
    :ivar window: how far ahead of the time asked for an exchange looks for trades at least: after an empty page the next one begins so much later.
    :ivar settles: the age from which on history is final.
    :ivar options: options of ccxt for the exchange, as they are.
    :ivar url: another host for all addresses of the exchange, as ``https://mirror.example``.
    """

    exchange: str = "binance"
    timeout: Duration = field(default=30.0, validator=validators.gt(0))
    tries: int = field(default=6, validator=validators.ge(1))
    backoff: Duration = field(default=1.0, validator=validators.gt(0))
    page_rows: int = field(default=1_000, validator=validators.ge(1))
    window: Duration = field(default=3_600.0, validator=validators.ge(0.001))
    settles: Duration = field(default=60.0, validator=validators.ge(0))
    options: Mapping[str, Any] = field(factory=dict)
    url: str | None = None
