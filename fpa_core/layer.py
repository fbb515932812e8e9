"""The data layer: the one place where configuration, plugins, store, cache and validator meet."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from fpa_core import config as configuration
from fpa_core.config import Section
from fpa_core.exceptions import ConfigError
from fpa_core.ingest import LiveGate, Progress, chunks_of, examine, ingest, with_times
from fpa_core.protocols import Chunk, Query, SourceRequest
from fpa_core.records import POSITIONS, SNAPSHOTS, Kind, kind_of

if TYPE_CHECKING:
    from fpa_core.cache import DataCache
    from fpa_core.config import Config, Tree
    from fpa_core.plugins import PluginManager
    from fpa_core.protocols import Source
    from fpa_core.receipt import Receipt
    from fpa_core.store import DataStore, Selection
    from fpa_core.store.batch import Changed
    from fpa_core.store.stream import AsyncStream, Stream
    from fpa_core.validator import DataValidator, ValidationResult

__all__ = ["DataLayer", "open_layer"]

T = TypeVar("T")

MANY = 64
"""Symbols beyond which a cached read is tied to its whole kind instead of to each of them."""


def open_layer(
    path: str | os.PathLike[str] | None = None,
    *,
    env: str | None = None,
    environ: Mapping[str, str] | None = None,
    plugins: PluginManager | None = None,
    clock: Callable[[], int] = time.time_ns,
    lazy: bool = False,
) -> DataLayer:
    """Open the data layer that a configuration describes; this is ``fpa_core.open``.

    :param path: the ``fpa.toml``; None looks for one in the current folder and above, and takes the defaults where there is none.
    :param env: the overlay ``[env.NAME]`` to use; None leaves it to the variable ``FPA_ENV``.
    :param environ: the environment variables, for overrides and secrets.
    :param plugins: a plugin manager of one's own, already loaded.
    :param clock: the present time in nanoseconds since 1970.
    :param lazy: do not open store, cache and validator until they are used.
    :raises ConfigError: with every problem of the configuration.
    :raises PluginError: when a plugin that is needed does not load.
    :raises DatabaseError: when the database cannot be opened.
    """
    from fpa_core.plugins import PluginManager

    tree = configuration.load(
        None if path is None else Path(path), env=env, environ=os.environ if environ is None else environ
    )
    manager = plugins or PluginManager(
        block=tree.plugins.block, required=tree.plugins.required, strict=tree.plugins.strict
    )
    layer = DataLayer(_structure(tree, manager), manager, clock=clock)
    with contextlib.ExitStack() as stack:
        stack.callback(layer.close)  # unless all parts open
        for part in () if lazy else ("store", "cache", "validator"):
            getattr(layer, part)
        stack.pop_all()
    return layer


def _structure(tree: Tree, manager: PluginManager) -> Config:
    config = configuration.structure(
        tree,
        stores=manager.stores.options,
        caches=manager.caches.options,
        validators=manager.validators.options,
        sources=manager.sources.options,
        rules=manager.rules.options,
        explain=manager.explain,
    )
    if not isinstance(config.cache.backend, str):
        named = ", ".join(config.cache.backend)
        raise ConfigError(f"cache.backend: one cache is needed, not several ({named})", hint="name one of them")
    return config


class DataLayer:
    """Validated, stored and cached records. Made by :func:`open_layer`; a context manager.

    :ivar config: the configuration in force.
    :ivar plugins: what was loaded, and what was not.
    """

    def __init__(self, config: Config, plugins: PluginManager, *, clock: Callable[[], int] = time.time_ns) -> None:
        self.config = config
        self.plugins = plugins
        self._clock = clock

    # The three parts

    @functools.cached_property
    def store(self) -> DataStore:
        """Where records are kept."""
        from fpa_core.store import DataStore

        chosen = self.config.store
        store = DataStore(
            self.plugins.stores.require(chosen.backend).create(chosen.options),
            clock=self._clock,
            read_through=self._read_through,
        )
        store.on_change(self._invalidate)
        return store

    @functools.cached_property
    def cache(self) -> DataCache:
        """Where answers are remembered."""
        from fpa_core.cache import DataCache

        chosen = self.config.cache
        if not isinstance(chosen.backend, str):
            raise ConfigError(
                f"cache.backend: one cache is needed, not {len(chosen.backend)}", hint="name the nearest one"
            )
        backend = self.plugins.caches.require(chosen.backend).create(chosen.options)
        kinds = {kind: lifetime for kind, lifetime in chosen.ttl.items() if kind != "default"}
        return DataCache(backend, ttl=chosen.ttl["default"], ttls=kinds, namespace=chosen.namespace)

    @functools.cached_property
    def validator(self) -> DataValidator:
        """What judges records."""
        from fpa_core.validator import DataValidator, configure

        chosen = self.config.validator
        rules = configure(self.plugins.rules.options.values(), chosen.level, chosen.rules)
        backend = self.plugins.validators.require(chosen.backend).create(chosen.options, rules)
        return DataValidator(backend, level=chosen.level, now_ns=self._clock)

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

    # Writing

    def ingest(
        self,
        data: Any,
        *,
        source: str | None = None,
        kind: Kind | str | None = None,
        symbol: str | None = None,
        interval: str | None = None,
        account: str | None = None,
        progress: Progress | None = None,
    ) -> Receipt:
        """Validate, store, and drop from the cache what changed; one batch, kept whole or not at all.

        :param data: a path to a CSV, JSON Lines or Parquet file, or a record, or records of any kinds.
        :param source: where the data come from, as ``fxcm`` or ``alpaca:sip``; for provenance.
        :param kind: the kind of a file's rows, where its header leaves that open.
        :param symbol: the symbol of a file that names none; likewise *interval* and *account*.
        :raises DataError: when the file cannot be read at all. A row that is no record is quarantined.
        """
        if isinstance(data, (str, os.PathLike)):
            path: Path | None = Path(data)
            chunks = self._read(data, kind, symbol, interval, account)
            source = f"files:{source}" if source else "files"
        else:
            path, chunks, source = None, chunks_of(self.store, data), source or "api"
        receipt, refused = ingest(self.store, self.validator, chunks, source=source, path=path, progress=progress)
        self.plugins.notify("fpa_ingested", receipt=receipt)
        if refused:
            self.plugins.notify("fpa_quarantined", batch=receipt.batch, records=refused)
        return receipt

    def _read(
        self,
        path: str | os.PathLike[str],
        kind: Kind | str | None,
        symbol: str | None,
        interval: str | None,
        account: str | None,
    ) -> Iterator[Chunk]:
        request = SourceRequest(
            str(path), None if kind is None else kind_of(kind), symbol=symbol, interval=interval, account=account
        )
        return (with_times(chunk) for chunk in self.source("files").read(request))

    def stream(
        self, *, source: str = "api", max_rows: int = 256, max_delay: Any = "50ms", max_waiting: int = 16_384
    ) -> Stream:
        """Validate and store records one at a time as they come, from any thread, durably in groups.

        The parameters are those of :meth:`fpa_core.store.DataStore.stream`. What breaks a rule of severity error is quarantined; the ticket tells.
        """
        gate = LiveGate(self.validator, self.plugins.notify)
        return self.store.stream(
            source=source, max_rows=max_rows, max_delay=max_delay, max_waiting=max_waiting, gate=gate
        )

    def astream(self, **options: Any) -> AsyncStream:
        """Do as :meth:`stream` does, on an event loop, with the same options."""
        from fpa_core.store.stream import AsyncStream

        return AsyncStream(functools.partial(self.stream, **options))

    # Reading and judging

    @overload
    def select(self, what: type[T], symbol: str | Sequence[str] | None = None, **conditions: Any) -> Selection[T]: ...

    @overload
    def select(
        self, what: Kind | str, symbol: str | Sequence[str] | None = None, **conditions: Any
    ) -> Selection[Any]: ...

    def select(self, what: Any, symbol: str | Sequence[str] | None = None, **conditions: Any) -> Selection[Any]:
        """Describe rows to read; see :meth:`fpa_core.store.DataStore.select`."""
        return self.store.select(what, symbol, **conditions)

    def validate(
        self,
        data: Any,
        *,
        kind: Kind | str | None = None,
        symbol: str | None = None,
        interval: str | None = None,
        account: str | None = None,
        progress: Progress | None = None,
    ) -> ValidationResult:
        """Judge a file or records without storing them; what is said of each rule is what an ingest would go by.

        The parameters are those of :meth:`ingest`. Rows that are no records count under the rule ``record.shape``.
        """
        if not isinstance(data, (str, os.PathLike)):
            return self.validator.validate(_with_positions(data))
        return examine(self.validator, self._read(data, kind, symbol, interval, account), progress=progress)

    # Remembering

    def _read_through(self, key: str, load: Callable[[], T], query: Query) -> T:
        return self.cache.get_or_load(key, load, tags=_tags(query), kind=query.kind.name)

    def _invalidate(self, changed: Changed) -> None:
        tags: list[str] = []
        for kind, subjects in changed.items():
            if subjects is None:
                tags.append(f"{kind.name}!")
            else:
                tags += [f"{kind.name}/*", *(f"{kind.name}/{subject}" for subject in subjects)]
        if POSITIONS in changed:
            tags.append(f"{SNAPSHOTS.name}!")  # a snapshot is read with its positions
        self.cache.invalidate_tags(*tags)

    # Ending

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


def _with_positions(records: Any) -> list[Any]:
    """Return one record or many with the positions of snapshots on their own, as they are stored."""
    from fpa_core.models import PortfolioSnapshot

    whole = list(records) if isinstance(records, Iterable) else [records]
    held = [position for one in whole if isinstance(one, PortfolioSnapshot) for position in one.positions]
    return whole + held


def _tags(query: Query) -> list[str]:
    """Name what a read depends on: each symbol, or the whole kind; and always whatever changes a kind beyond telling where."""
    kind = query.kind.name
    subjects = query.only
    by_subject = subjects is not None and len(subjects) <= MANY
    return [f"{kind}!", *([f"{kind}/{subject}" for subject in subjects or ()] if by_subject else [f"{kind}/*"])]
