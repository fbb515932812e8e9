"""The sections of ``fpa.toml`` as classes; their fields are the keys, with the default values."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from attrs import field, frozen, validators

from fpa_core.config.problems import KeyPath, Origin
from fpa_core.config.secrets import Secret
from fpa_core.exceptions import DataError
from fpa_core.formats import Format
from fpa_core.intervals import interval_text, is_dated, longest_ns

__all__ = [
    "LEVELS",
    "AuditSection",
    "BackupSection",
    "BarRetention",
    "CacheSection",
    "Config",
    "Duration",
    "Keep",
    "LevelProfile",
    "Lifetime",
    "LogFormat",
    "LogLevel",
    "LoggingSection",
    "PluginsSection",
    "RetentionSection",
    "Section",
    "TickRetention",
    "ValidatorSection",
]

DURATION: Final = "duration"
LIFETIME: Final = "lifetime"
KEEP: Final = "keep"

Duration: TypeAlias = Annotated[float, DURATION]
"""Seconds; in the file a number of them, or text such as ``"50ms"``, ``"5m"``, ``"1h"``. For fields of options classes."""

Lifetime: TypeAlias = Annotated[float | None, LIFETIME]
"""A duration, or ``"never"`` for None: no expiry."""

Keep: TypeAlias = Annotated[float | None, KEEP]
"""A duration, or ``"forever"`` for None."""

DAY = 86_400.0
"""Seconds of a day, the least that is kept: days are deleted as a whole."""

DEFAULT_TTL = 300.0
"""Default lifetime of a cached read, in seconds."""


BuiltinLevel: TypeAlias = Literal["off", "lenient", "standard", "strict"]

LEVELS: Final[tuple[str, ...]] = get_args(BuiltinLevel)
"""The built-in levels of the validator, from the most lenient to the strictest; each rule has a severity for each of them."""


class LogLevel(StrEnum):
    """The lowest severity that is logged."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


class LogFormat(StrEnum):
    """How messages are written: lines for people, or JSON objects for machines."""

    TEXT = "text"
    JSON = "json"


@frozen
class Section:
    """The backend chosen and its structured options: ``[store]``, each ``[sources.NAME]`` and each ``[lakes.NAME]``."""

    backend: str = "sqlite"
    options: Any = None


@frozen
class CacheSection:
    """``[cache]``.

    :ivar backend: one cache, or two: L1 and L2.
    :ivar ttl: seconds by kind of record, None for no expiry; ``default`` applies to every kind not listed.
    :ivar negative_ttl: lifetime of the answer "there is none" in seconds; None for the same as others.
    :ivar jitter: the largest share by which lifetimes are shortened at random.
    :ivar stale_while_revalidate: seconds for which a stale answer is served while a new one is loaded; ``stale_if_error`` if loading fails.
    :ivar sweep_every: seconds between two sweeps by a thread; None for no thread.
    :ivar options: those of the backend, or a tuple of them in the order of the backends.
    """

    backend: str | tuple[str, ...] = "memory"
    ttl: Mapping[str, Lifetime] = field(factory=lambda: {"default": DEFAULT_TTL})
    namespace: str = "fpa"
    negative_ttl: Duration | None = None
    jitter: float = field(default=0.0, validator=[validators.ge(0), validators.lt(1)])
    stale_while_revalidate: Duration = field(default=0.0, validator=validators.ge(0))
    stale_if_error: Duration = field(default=0.0, validator=validators.ge(0))
    sweep_every: Duration | None = field(default=None, validator=validators.optional(validators.gt(0)))
    options: Any = None

    def ttl_of(self, kind: str) -> float | None:
        """Return how long reads of *kind* (``quotes``, ``bars``, ...) live, in seconds; None for no expiry."""
        return self.ttl.get(kind, self.ttl["default"])


@frozen
class LevelProfile:
    """``[validator.levels.NAME]``, a level that the user defines.

    :ivar extends: the level it starts from: a built-in one, or another of the user's.
    :ivar rules: severities by rule id or pattern, or ``off``; if several patterns match, the last one applies.
    """

    extends: str = "standard"
    rules: Mapping[str, Literal["off", "info", "warning", "error"]] = field(factory=dict)


@frozen
class ValidatorSection:
    """``[validator]``.

    :ivar rules: the instances of those rules that the configuration mentions, by id.
    :ivar levels: the user's own levels, by name.
    :ivar classes: patterns of symbols by the name of their class.
    """

    backend: str = "rules"
    level: BuiltinLevel | str = "standard"
    rules: Mapping[str, Any] = field(factory=dict)
    levels: Mapping[str, LevelProfile] = field(factory=dict)
    classes: Mapping[str, tuple[str, ...]] = field(factory=dict)
    options: Any = None


@frozen
class PluginsSection:
    """``[plugins]``.

    :ivar strict: whether a plugin that fails is an error, even if it is not used.
    :ivar block: plugins not to load, built-in ones included.
    :ivar required: distributions that must provide a plugin that loads, as ``"acme-rules>=1.2"``.
    """

    strict: bool = False
    block: tuple[str, ...] = ()
    required: tuple[str, ...] = ()


@frozen
class LoggingSection:
    """``[logging]``; *file* gets the same lines as the standard error stream."""

    level: LogLevel = LogLevel.WARNING
    format: LogFormat = LogFormat.TEXT
    file: Path | None = None


@frozen
class BackupSection:
    """``[backup]``.

    :ivar folder: where backups go.
    :ivar keep: how many are kept there, the latest ones; None for all.
    """

    folder: Path = Path("backups")
    keep: int | None = field(default=None, validator=validators.optional(validators.ge(1)))


@frozen
class AuditSection:
    """``[audit]``: the audit log of the store's changes.

    :ivar anchor: the file that keeps the end of the log outside the database; None for one beside the database, if that is a file. Each database needs
        one of its own.
    :ivar key: signs the lines of the anchor; write ``"${FPA_AUDIT_KEY}"`` rather than the key itself. It is never shown.
    """

    anchor: Path | None = None
    key: str = field(default="", converter=Secret)


def _divides_a_day(_: object, attribute: Any, value: str | None) -> None:
    if value is None:
        return
    interval = interval_text(value)
    if interval != "1d" and (is_dated(interval) or DAY * 10**9 % longest_ns(interval)):
        raise DataError(
            f"{attribute.name}: {value!r} does not divide a day",
            hint="take one such as 1m, 5m, 1h or 1d: days are deleted as a whole",
            value=value,
        )


def _are_intervals(_: object, __: Any, values: tuple[str, ...]) -> None:
    for value in values:
        interval_text(value)


@frozen
class TickRetention:
    """``[retention.quotes]`` and ``[retention.trades]``.

    :ivar keep: how long rows are kept; None for ever.
    :ivar parquet: whether they are written to the archive before they are deleted.
    :ivar bars: the interval of bars that are made of them first, where there are none; None for no bars.
    """

    keep: Keep = field(default=None, validator=validators.optional(validators.ge(DAY)))
    parquet: bool = True
    bars: str | None = field(default=None, validator=_divides_a_day)


@frozen
class BarRetention:
    """``[retention.bars]``.

    :ivar keep: how long bars are kept; None for ever.
    :ivar parquet: whether they are written to the archive before they are deleted.
    :ivar intervals: the intervals that this is for; empty for all.
    """

    keep: Keep = field(default=None, validator=validators.optional(validators.ge(DAY)))
    parquet: bool = True
    intervals: tuple[str, ...] = field(default=(), validator=_are_intervals)


@frozen
class RetentionSection:
    """``[retention]``: how long market data are kept, for ``fpa store retain``.

    :ivar archive: the folder of the Parquet files that are written before rows are deleted.
    :ivar hold: patterns of symbols of which nothing is deleted, whatever their age.
    """

    archive: Path = Path("archive")
    hold: tuple[str, ...] = ()
    quotes: TickRetention = TickRetention()
    trades: TickRetention = TickRetention()
    bars: BarRetention = BarRetention()


@frozen
class Config:
    """The whole configuration, checked and typed.

    :ivar path: the file it came from; None if there is none and the defaults apply.
    :ivar env: the overlay applied.
    :ivar sources: the sources that the configuration mentions, by name.
    :ivar formats: how files are read, by the names of ``[formats.NAME]``.
    :ivar lakes: where rows are published, by name.
    :ivar origins: where each value came from, by path of keys; values not listed are defaults.
    :ivar secrets: the texts to redact, for :func:`fpa_core.log.configure`.
    """

    store: Section
    cache: CacheSection
    validator: ValidatorSection
    plugins: PluginsSection
    logging: LoggingSection
    backup: BackupSection = BackupSection()
    audit: AuditSection = AuditSection()
    retention: RetentionSection = RetentionSection()
    sources: Mapping[str, Section] = field(factory=dict)
    formats: Mapping[str, Format] = field(factory=dict)
    lakes: Mapping[str, Section] = field(factory=dict)
    env: str | None = None
    path: Path | None = None
    origins: Mapping[KeyPath, Origin] = field(factory=dict, repr=False)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def read_only(self) -> bool:
        """Whether the store is only read; stores that cannot be opened so have no such option."""
        return getattr(self.store.options, "read_only", False) is True
