"""The options of the source ``alpaca``."""

from __future__ import annotations

from typing import Literal

from attrs import converters, field, frozen, validators

from fpa_core.calendars import calendar_code
from fpa_core.config import Duration, Secret

__all__ = ["AlpacaOptions"]


@frozen
class AlpacaOptions:
    """Keys of ``[sources.alpaca]``.

    :ivar api_key: the key; write it as ``"${NAME}"``. None takes it from the keyring, or from the variable ``APCA_API_KEY_ID``.
    :ivar secret_key: the secret, as above; the variable is ``APCA_API_SECRET_KEY``.
    :ivar keyring: the service under which the system's keyring keeps ``api_key`` and ``secret_key``; None for no keyring.
    :ivar paper: whether the account is a paper account.
    :ivar feed: the feed of market data.
    :ivar timeout: how long a request may take, in seconds.
    :ivar tries: how often a request is tried when a failure may pass.
    :ivar requests_per_minute: the limit of the account's plan.
    :ivar page_rows: rows asked for in one request.
    :ivar settles: the age from which on history is final.
    :ivar data_timeout: silence of a subscription after which a connection counts as broken, while the exchange is open: of quotes, three times
        as long for trades, and not less than 150 s for bars. None to wait for ever.
    :ivar reconnect: the first pause before a new connection, in seconds; it doubles up to 30 s.
    :ivar corporate_actions: whether a sync of the account asks for the corporate actions of what it holds or traded.
    :ivar calendar: the exchange whose sessions say when there are data; ``none`` if there are data at any time.
    :ivar data_url: another address for market data; likewise *trading_url* for the account, *stream_url* for live market data and
        *orders_url* for updates of orders.
    """

    api_key: str | None = field(default=None, converter=converters.optional(Secret), repr=False)
    secret_key: str | None = field(default=None, converter=converters.optional(Secret), repr=False)
    keyring: str | None = None
    paper: bool = True
    feed: Literal["iex", "sip"] = "iex"
    timeout: Duration = field(default=30.0, validator=validators.gt(0))
    tries: int = field(default=6, validator=validators.ge(1))
    requests_per_minute: int = field(default=200, validator=validators.ge(1))
    page_rows: int = field(default=10_000, validator=[validators.ge(1), validators.le(10_000)])
    settles: Duration = field(default=900.0, validator=validators.ge(0))
    data_timeout: Duration | None = field(default=30.0, validator=validators.optional(validators.gt(0)))  # type: ignore[arg-type]
    reconnect: Duration = field(default=1.0, validator=validators.gt(0))
    corporate_actions: bool = True
    calendar: str | None = field(default="XNYS", converter=calendar_code)
    data_url: str | None = None
    trading_url: str | None = None
    stream_url: str | None = None
    orders_url: str | None = None
