"""The parts of a data layer, made of configuration and plugins when they are first used, and tied to one another."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from fpa_core import config as configuration
from fpa_core.config import Section
from fpa_core.exceptions import ConfigError
from fpa_core.formats import Format, FormatOffer
from fpa_core.kinds import BARS, kind_of
from fpa_core.protocols import Chunk, Query, SourceRequest

if TYPE_CHECKING:
    import pyarrow as pa

    from fpa_core.cache import DataCache
    from fpa_core.cached_reads import CachedReads
    from fpa_core.config import Config, Tree
    from fpa_core.models import Order
    from fpa_core.plugins import PluginManager, Registration
    from fpa_core.portfolio import Portfolio
    from fpa_core.protocols import Source
    from fpa_core.quarantine import Quarantine
    from fpa_core.store import DataStore
    from fpa_core.validator import DataValidator

__all__ = ["Parts", "rule_origins", "structured"]

T = TypeVar("T")

BAR_COLUMNS = ("symbol", "timestamp", "open", "high", "low", "close", "volume")
"""What rules compare of stored bars."""

BARS_AT_ONCE = 512
"""So few that the garbage collector does not look at the rows of a batch while they are made."""


def structured(tree: Tree, plugins: PluginManager) -> Config:
    """Return the configuration that a tree of values is, by the options of what the plugins offer.

    :raises ConfigError: with every problem there is.
    """
    return configuration.structure(
        tree,
        stores=plugins.stores.options,
        caches=plugins.caches.options,
        validators=plugins.validators.options,
        sources=plugins.sources.options,
        rules=plugins.rules.options,
        explain=plugins.explain,
    )


class Parts:
    """What a data layer rests on: the store reads through the cache and tells it of changes, the validator looks orders up in the store.

    :ivar config: the configuration in force.
    :ivar plugins: what was loaded, and what was not.
    """

    def __init__(self, config: Config, plugins: PluginManager, *, clock: Callable[[], int] = time.time_ns) -> None:
        self.config = config
        self.plugins = plugins
        self._clock = clock

    @functools.cached_property
    def store(self) -> DataStore:
        """Where records are kept."""
        from fpa_core.store import DataStore

        chosen = self.config.store
        store = DataStore(
            self.plugins.stores.require(chosen.backend).create(chosen.options),
            clock=self._clock,
            read_through=self._cached_reads.read,
        )
        store.on_change(self._cached_reads.invalidate)
        return store

    @functools.cached_property
    def _cached_reads(self) -> CachedReads:
        from fpa_core.cached_reads import CachedReads

        return CachedReads(lambda: self.cache)

    @functools.cached_property
    def cache(self) -> DataCache:
        """Where answers are remembered."""
        from fpa_core.cache.configured import make_cache

        caches = self.plugins.caches
        return make_cache(self.config.cache, lambda name, options: caches.require(name).create(options))

    def open_cache(self) -> None:
        """Open the cache now; if it fails, reads go to the store, with a warning, until it can be opened."""
        self._cached_reads.open()

    @functools.cached_property
    def validator(self) -> DataValidator:
        """What judges records."""
        from fpa_core.validator import DataValidator, base_level, configure

        chosen = self.config.validator
        offered = self.plugins.rules
        rules = configure(
            offered.options.values(), chosen.level, chosen.rules, levels=chosen.levels, classes=chosen.classes
        )
        backend = self.plugins.validators.require(chosen.backend).create(chosen.options, rules)
        return DataValidator(
            backend,
            level=base_level(chosen.level, chosen.levels),
            now_ns=self._clock,
            stored=self._stored_order,
            stored_bars=self._stored_bars,
            origins={rule.id: rule_origins(self.config, offered.require(rule.id)) for rule in rules},
        )

    @functools.cached_property
    def quarantine(self) -> Quarantine:
        """What was refused."""
        from fpa_core.quarantine import Quarantine

        return Quarantine(self.store, lambda: self.validator, self.plugins.notify, self._read_rows)

    @functools.cached_property
    def portfolio(self) -> Portfolio:
        """What accounts hold, have earned, and are worth."""
        from fpa_core.portfolio import Portfolio

        return Portfolio(self.store, self._clock)

    def _read_rows(
        self,
        rows: Sequence[Mapping[str, Any]],
        *,
        kind: str,
        format: str | None = None,  # noqa: A002  # it is called so in the configuration, too
        symbol: str | None = None,
        interval: str | None = None,
        account: str | None = None,
        file: str | None = None,
        **options: Any,
    ) -> Iterator[Chunk]:
        """Read rows of a file once more, with other options."""
        request = SourceRequest(
            rows,
            kind_of(kind),
            symbol=symbol,
            interval=interval,
            account=account,
            format=Format(**options),
            format_name=format,
            formats=self.formats,
            file=file,
        )
        return self.source("files").read(request)

    def _stored_order(self, order_id: str, account: str) -> Order | None:
        """Look an order up; the store opens when one is judged, not before."""
        return self.store.get_order(order_id, account)

    @functools.cached_property
    def formats(self) -> Mapping[str, FormatOffer]:
        """How files can be read, by name: what the configuration says, then what plugins offer."""
        own = {name: FormatOffer(name, form, "of fpa.toml") for name, form in self.config.formats.items()}
        return {name: offered.create() for name, offered in self.plugins.formats.items()} | own

    def _stored_bars(
        self, symbols: Sequence[str], interval: str, start_ns: int, end_ns: int, *, last: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Look bars up, past the cache: what a batch being written has brought is not seen."""
        if "store" not in self.__dict__ and not self._has_database():
            return
        query = Query(
            BARS, tuple(symbols), start_ns, end_ns, {"interval": interval}, limit=last, reverse=last is not None
        )
        yield from self.store.backend.scan(query, BARS_AT_ONCE, columns=BAR_COLUMNS)

    def _has_database(self) -> bool:
        """Return whether there is a database, unless the options do not tell: judging a file does not make one."""
        path = getattr(self.config.store.options, "path", None)
        return path is None or Path(path).expanduser().exists()

    def source(self, name: str) -> Source:
        """Return the source of that name, with the options of ``[sources.NAME]``.

        :raises PluginError: when no plugin offers it.
        :raises ConfigError: when it needs options and has none.
        """
        section: Section = self.config.sources.get(name, Section(backend=name))
        registration = self.plugins.sources.require(section.backend)
        options = section.options
        if options is None:
            try:
                options = registration.options()
            except TypeError as error:
                raise ConfigError(
                    f"the source {name!r} needs options: {error}", hint=f"add [sources.{name}]"
                ) from error
        source: Source = registration.create(options)
        return source

    def close(self) -> None:
        """Close what was opened; calling it twice does nothing."""
        with contextlib.ExitStack() as stack:  # the cache is closed even when the store cannot be
            for name in ("cache", "store"):
                if (part := self.__dict__.get(name)) is not None:
                    stack.callback(part.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def rule_origins(config: Config, offer: Registration) -> dict[str, Any]:
    """Return which plugin a rule came from, and where each of its keys in the configuration was set."""
    path = ("validator", "rules", offer.name)
    origins = {
        ".".join(map(str, key[3:])): str(origin)
        for key, origin in config.origins.items()
        if key[:3] == path and key[3:]
    }
    came_from = {"plugin": offer.plugin, "distribution": offer.distribution, "version": offer.version}
    return {**came_from, "origins": origins}
