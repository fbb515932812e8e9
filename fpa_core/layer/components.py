"""The components of a data layer, made from the configuration and the plugins when they are first used."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from attrs import evolve, field, fields_dict, frozen

from fpa_core import config as configuration
from fpa_core.config import Section
from fpa_core.exceptions import ConfigError, DatabaseError
from fpa_core.formats import Format, FormatOffer
from fpa_core.kinds import BARS, kind_of
from fpa_core.protocols import Capability, Chunk, Query, SourceRequest

if TYPE_CHECKING:
    import pyarrow as pa

    from fpa_core.cache import DataCache
    from fpa_core.config import Config, Tree
    from fpa_core.engine.anchor import AnchorFile
    from fpa_core.layer.cached_reads import CachedReads
    from fpa_core.models import Order
    from fpa_core.operations import Operations
    from fpa_core.plugins import PluginManager, Registration, Registry
    from fpa_core.portfolio import Portfolio
    from fpa_core.protocols import Lake, Source, StoreBackend
    from fpa_core.quarantine import Quarantine
    from fpa_core.sources.service import Sources
    from fpa_core.sql.connections import Connections
    from fpa_core.store import DataStore
    from fpa_core.store.streams.stream import Stream
    from fpa_core.validator import DataValidator

__all__ = ["Components", "StoreOpener", "rule_origins", "structured"]

T = TypeVar("T")

_log = logging.getLogger("fpa")

BAR_COLUMNS = ("symbol", "timestamp", "open", "high", "low", "close", "volume")
"""The columns of stored bars that rules compare."""

BARS_AT_ONCE = 512
"""Rows of a batch: few enough that making them does not trigger the garbage collector."""


def structured(tree: Tree, plugins: PluginManager) -> Config:
    """Convert a tree of values to a configuration, with the options of the backends and rules of *plugins*.

    :raises ConfigError: with all problems.
    """
    return configuration.structure(tree, **plugins.options, explain=plugins.explain)


class _Lazy(Generic[T]):
    """A property that is computed once, by the first thread that needs it, under the ``lock`` of its object."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type[Any]) -> T: ...

    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        if instance is None:
            return self
        with instance.lock:
            values = instance.__dict__  # which Python looks in before it comes here
            if self._name not in values:
                values[self._name] = self._make(instance)
            return values[self._name]


@frozen
class StoreOpener:
    """Opens a store for reading in another process; it can be pickled.

    The repr does not show the options, which may have a password.

    :ivar backend: the name of the store's plugin.
    :ivar block: plugins not to load.
    """

    backend: str
    options: Any = field(repr=False)
    block: tuple[str, ...] = ()

    def __call__(self) -> StoreBackend:
        """Open the store, without making or changing anything if its plugin has the option ``read_only``.

        :raises DatabaseError: if the database cannot be opened from here.
        :raises PluginError: if the plugin is not installed here.
        """
        from fpa_core.plugins import PluginManager

        options = self.options
        offered = PluginManager(block=self.block).stores.require(self.backend)
        if offered.missing is not None and (place := offered.missing(options)) is not None:
            raise DatabaseError(
                f"there is no database at {place} on this machine",
                hint="put it where all workers reach it under one path, or use a store on a server",
                path=place,
                operation="open",
            )
        if "read_only" in fields_dict(type(options)):
            options = evolve(options, read_only=True)
        backend: StoreBackend = offered.create(options)
        return backend


def _with_absolute_paths(options: Any) -> Any:
    """Return the options of a store with each relative path made absolute: another process may run in another folder."""
    paths = {name: getattr(options, name) for name in fields_dict(type(options))}
    relative = {name: path for name, path in paths.items() if isinstance(path, Path)}
    return evolve(options, **{name: path.expanduser().absolute() for name, path in relative.items()})


class Components:
    """The store, cache and validator of a layer, and what connects them.

    The store reads through the cache and invalidates what it changes there; the validator looks up orders and bars in the store.

    :param clock: the present time in nanoseconds since 1970.
    :ivar lock: held while a component is opened.
    """

    def __init__(self, config: Config, plugins: PluginManager, clock: Callable[[], int]) -> None:
        self.config = config
        self.plugins = plugins
        self.lock = threading.RLock()
        self._clock = clock

    @_Lazy
    def store(self) -> DataStore:
        """Open the store."""
        from fpa_core.store import DataStore

        chosen = self.config.store
        backend = self.plugins.stores.require(chosen.backend).create(chosen.options)
        self._anchor(backend)
        _warn_of_unfinished_copy(backend)
        store = DataStore(
            backend,
            clock=self._clock,
            read_through=self._cached_reads.read,
            reopen=StoreOpener(chosen.backend, _with_absolute_paths(chosen.options), self.config.plugins.block),
        )
        store.on_change(self._cached_reads.invalidate)
        if Capability.NOTIFIES in backend.capabilities:
            self._cached_reads.follow(backend.follow)
        store.on_commit(lambda receipt: self.plugins.notify("fpa_ingested", receipt=receipt))
        return store

    def _anchor(self, backend: StoreBackend) -> None:
        """Keep the end of the audit log outside the database, if the store has such a log and is kept."""
        if self.config.read_only or Capability.PERSISTENT not in backend.capabilities:
            return
        from fpa_core.engine.store import EngineStore

        if isinstance(backend, EngineStore) and (anchor := self._anchor_file()) is not None:
            with backend.database.reader("read the end of the audit log") as tables:
                anchor.begin(tables.audit_log.last())
            backend.audit.listeners.append(anchor.note)

    def _anchor_file(self) -> AnchorFile | None:
        """Return the anchor file of ``[audit]``, or the one beside the database; None if the database is no file."""
        from fpa_core.engine.anchor import SUFFIX, AnchorFile

        path = self.config.audit.anchor
        if path is None:
            make = self.plugins.stores.require(self.config.store.backend).file
            if make is None:
                return None
            database = make(self.config.store.options).path
            path = database.with_name(database.name + SUFFIX)
        return AnchorFile(path.expanduser().absolute(), str(self.config.audit.key))

    @_Lazy
    def sql(self) -> Connections:
        """Make the kinds of the store readable in SQL."""
        from fpa_core.sql.connections import Connections
        from fpa_core.sql.relations import Relations

        return Connections(Relations(self.store.backend))

    @_Lazy
    def _cached_reads(self) -> CachedReads:
        from fpa_core.layer.cached_reads import CachedReads

        return CachedReads(lambda: self.cache)

    @_Lazy
    def cache(self) -> DataCache:
        """Open the cache."""
        from fpa_core.cache.configured import make_cache

        caches = self.plugins.caches
        chosen = self.config.cache
        if self.config.read_only:  # a cache of any other kind would write somewhere
            chosen = evolve(chosen, backend="memory", options=caches.require("memory").options())
        self._warn_of_plain_cache(chosen.backend)
        return make_cache(chosen, lambda name, options: caches.require(name).create(options))

    def _warn_of_plain_cache(self, backend: str | tuple[str, ...]) -> None:
        """Log a warning if the store is encrypted, and answers from it are kept elsewhere than in memory."""
        names = [name for name in ((backend,) if isinstance(backend, str) else backend) if name != "memory"]
        make = self.plugins.stores.require(self.config.store.backend).file
        if names and make is not None and make(self.config.store.options).has_key:
            _log.warning(
                "the store is encrypted, and the cache %r is not: answers are kept there as they are. Use the backend memory in [cache]",
                names[-1],
            )

    def open_cache(self) -> None:
        """Open the cache now; if it cannot be opened, log a warning, and read from the store until it can."""
        self._cached_reads.open()

    @_Lazy
    def validator(self) -> DataValidator:
        """Make the validator of the enabled rules."""
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

    @_Lazy
    def quarantine(self) -> Quarantine:
        """Return the quarantine of the store."""
        from fpa_core.quarantine import Quarantine

        return Quarantine(self.store, lambda: self.validator, self._read_rows)

    @_Lazy
    def portfolio(self) -> Portfolio:
        """Return the portfolio of the accounts in the store."""
        from fpa_core.portfolio import Portfolio

        return Portfolio(self.store, self._clock)

    def _read_rows(
        self,
        rows: Sequence[Mapping[str, Any]],
        *,
        kind: str,
        format: str | None = None,  # noqa: A002  # the name in the configuration
        symbol: str | None = None,
        interval: str | None = None,
        account: str | None = None,
        file: str | None = None,
        **options: Any,
    ) -> Iterator[Chunk]:
        """Parse rows of a file again, with other options."""
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
        """Return a stored order; the store is opened only when an order is checked."""
        return self.store.get_order(order_id, account)

    @_Lazy
    def formats(self) -> Mapping[str, FormatOffer]:
        """Return the formats of files by name."""
        own = {name: FormatOffer(name, form, "of fpa.toml") for name, form in self.config.formats.items()}
        return {name: offered.create() for name, offered in self.plugins.formats.items()} | own

    def _stored_bars(
        self, symbols: Sequence[str], interval: str, start_ns: int, end_ns: int, *, last: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield stored bars, not from the cache; those of a batch being written are not seen."""
        if self.missing_database() is not None:
            return
        query = Query(
            BARS, tuple(symbols), start_ns, end_ns, {"interval": interval}, limit=last, reverse=last is not None
        )
        yield from self.store.backend.scan(query, BARS_AT_ONCE, columns=BAR_COLUMNS)

    def missing_database(self) -> str | None:
        """Return where the database would be if opening the store would make it, as reading must not; None if it is there, or may be."""
        chosen = self.config.store
        missing = self.plugins.stores.require(chosen.backend).missing
        return None if missing is None or "store" in self.__dict__ else missing(chosen.options)

    def require_database(self) -> None:
        """Check that there is a database to read; see :meth:`fpa_core.DataLayer.require_database`."""
        if (place := self.missing_database()) is not None:
            raise DatabaseError(
                f"there is no database at {place}",
                hint="ingest a file to make one, or change to the folder of your fpa.toml",
                path=place,
                operation="open",
            )

    def source(self, name: str) -> Source:
        """Return a source; see :meth:`fpa_core.DataLayer.source`."""
        source: Source = self._named("source", name, self.config.sources, self.plugins.sources)
        return source

    def lake(self, name: str) -> Lake:
        """Open a lake, with the options of ``[lakes.NAME]``."""
        lake: Lake = self._named("lake", name, self.config.lakes, self.plugins.lakes)
        return lake

    @staticmethod
    def _named(what: str, name: str, sections: Mapping[str, Section], offered: Registry) -> Any:
        section = sections.get(name, Section(backend=name))
        registration = offered.require(section.backend)
        options = section.options
        if options is None:
            try:
                options = registration.options()
            except TypeError as error:
                raise ConfigError(
                    f"the {what} {name!r} needs options: {error}", hint=f"add [{what}s.{name}]"
                ) from error
        return registration.create(options)

    @_Lazy
    def sources(self) -> Sources:
        """Return what can be done with sources."""
        from fpa_core.ingest import LiveValidator
        from fpa_core.sources.service import Sources

        def stream(**options: Any) -> Stream:
            return self.store.stream(record_filter=LiveValidator(self.validator, self.plugins.notify), **options)

        return Sources(
            store=lambda: self.store,
            validator=lambda: self.validator,
            source=self.source,
            stream=stream,
            plugins=self.plugins,
            memory=self._cached_reads,
            clock=self._clock,
            is_missing=lambda: self.missing_database() is not None,
        )

    @_Lazy
    def operations(self) -> Operations:
        """Make the operations on the store as a whole."""
        from fpa_core.operations import Operations

        return Operations(
            self.config,
            self.plugins,
            lambda: self.store.backend,
            is_open=lambda: "store" in self.__dict__,
            require=self.require_database,
            close=self._close_store,
            forget=self._cached_reads.forget,
            anchor=self._anchor_file,
            clock=self._clock,
        )

    def _close_store(self) -> None:
        """Close the store, which is opened again when it is next used."""
        if (store := self.__dict__.pop("store", None)) is not None:
            store.close()

    def close(self) -> None:
        """Close what was opened; calling it twice does nothing."""
        with self.lock:
            opened = [self.__dict__[name] for name in ("cache", "store", "sql") if name in self.__dict__]
        with contextlib.ExitStack() as stack:  # closes the cache even if closing the store fails
            for component in opened:
                stack.callback(component.close)


def _warn_of_unfinished_copy(backend: StoreBackend) -> None:
    """Log a warning if a copy to the store was interrupted: not all of it is there."""
    from fpa_core.engine.audit_log import unfinished_copy
    from fpa_core.engine.store import EngineStore

    if isinstance(backend, EngineStore):
        with backend.database.reader("look for an unfinished copy") as tables:
            if (origin := unfinished_copy(tables.audit_log)) is not None:
                _log.warning(
                    "the store is an unfinished copy of %s: copy it again, which goes on where it ended", origin
                )


def rule_origins(config: Config, offer: Registration) -> dict[str, Any]:
    """Return the plugin that offers a rule, and where each of its keys in the configuration was set."""
    path = ("validator", "rules", offer.name)
    origins = {
        ".".join(map(str, key[3:])): str(origin)
        for key, origin in config.origins.items()
        if key[:3] == path and key[3:]
    }
    came_from = {"plugin": offer.plugin, "distribution": offer.distribution, "version": offer.version}
    return {**came_from, "origins": origins}
