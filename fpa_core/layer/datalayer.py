"""DataLayer: what store, cache and validator do together."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

from fpa_core.display import displayed
from fpa_core.exceptions import DataError
from fpa_core.formats import FormatOffer, FormatOptions
from fpa_core.kinds import KINDS, Kind, kind_of
from fpa_core.layer.components import Components
from fpa_core.layer.covering import Covering
from fpa_core.layer.inputs import Input, files_of, with_positions
from fpa_core.numbers import to_seconds
from fpa_core.protocols import Sniffed

if TYPE_CHECKING:
    from fpa_core.cache import DataCache
    from fpa_core.config import Config
    from fpa_core.gaps import StoredGap
    from fpa_core.ingest import Progress
    from fpa_core.operations import CheckReport, Operations
    from fpa_core.plugins import PluginManager
    from fpa_core.portfolio import Portfolio
    from fpa_core.protocols import Chunk, Receipt, Source
    from fpa_core.publish import Publication
    from fpa_core.quarantine import Quarantine
    from fpa_core.report import FileReport
    from fpa_core.sources.service import Sources
    from fpa_core.sql import SqlAnswer
    from fpa_core.store import DataStore, Selection
    from fpa_core.store.queries import ColumnConditions, SelectOptions
    from fpa_core.store.streams.stream import AsyncStream, Stream
    from fpa_core.validator import DataValidator, ValidationResult

__all__ = ["DataLayer"]

T = TypeVar("T")


class DataLayer:
    """Validated, stored and cached records, made by :func:`fpa_core.open`; a context manager, safe for threads.

    The store, the cache and the validator are opened when they are first used.
    """

    def __init__(self, config: Config, plugins: PluginManager, *, clock: Callable[[], int] = time.time_ns) -> None:
        self._components = Components(config, plugins, clock)

    # Components

    @property
    def config(self) -> Config:
        """The configuration."""
        return self._components.config

    @property
    def plugins(self) -> PluginManager:
        """The plugins that were loaded, and those that failed to load."""
        return self._components.plugins

    @property
    def store(self) -> DataStore:
        """The records. Reads go through the cache, and writes invalidate what they change there."""
        return self._components.store

    @property
    def cache(self) -> DataCache:
        """The cache."""
        return self._components.cache

    @property
    def validator(self) -> DataValidator:
        """The enabled rules."""
        return self._components.validator

    @property
    def quarantine(self) -> Quarantine:
        """The rejected records."""
        return self._components.quarantine

    @property
    def portfolio(self) -> Portfolio:
        """What the accounts in the store hold, have earned, and are worth."""
        return self._components.portfolio

    @property
    def operations(self) -> Operations:
        """Operations on the store as a whole: checks, backups, restores, compaction, migrations."""
        return self._components.operations

    def check(self, *, repair: bool = False) -> CheckReport:
        """Check the whole store, and return what is wrong with it.

        :param repair: also mend what can be mended without loss; see :meth:`fpa_core.operations.Operations.check`.
        """
        return self.operations.check(repair=repair)

    @property
    def formats(self) -> Mapping[str, FormatOffer]:
        """The formats of files by name: those of the configuration, then those of plugins."""
        return self._components.formats

    def source(self, name: str) -> Source:
        """Return the source of that name, with the options of ``[sources.NAME]``.

        :raises PluginError: if no plugin offers it.
        :raises ConfigError: if it needs options and has none.
        """
        return self._components.source(name)

    def open(self) -> None:
        """Open store, cache and validator now. A cache that cannot be opened is a warning: reads go to the store until it can.

        :raises DatabaseError: if the database cannot be opened.
        """
        _ = self.store, self.validator
        self._components.open_cache()

    def require_database(self) -> None:
        """Check that there is a database to read: opening a file, or a schema of a server, that does not exist would create it.

        :raises DatabaseError: if there is none.
        """
        self._components.require_database()

    # Writing

    def ingest(
        self,
        data: Any,
        *,
        origin: str | None = None,
        via: str | None = None,
        start: Any = None,
        end: Any = None,
        format: str | None = None,  # noqa: A002  # the name in the configuration
        kind: Kind | str | None = None,
        symbol: str | None = None,
        interval: str | None = None,
        account: str | None = None,
        max_rejected: int | str | None = None,
        covers: tuple[Any, Any] | None = None,
        progress: Progress | None = None,
        **options: Unpack[FormatOptions],
    ) -> Receipt:
        """Validate and store data as one batch, all or nothing, and invalidate what it changes in the cache.

        :param data: a path or an open file; a frame of pandas or polars, an Arrow table or any object with an Arrow stream; dicts, or lists of
            values; a record, or records of any kinds; with *via*, what that source takes, such as a symbol.
        :param origin: where the data come from, as ``fxcm``; recorded with every row after the name of the source, as ``files:fxcm``.
        :param via: the source to read from; *start* the first instant included, *end* the first instant excluded.
        :param format: the format to read with, of ``[formats.NAME]`` or built in; None recognises it.
        :param kind: the kind of the rows, if the columns do not determine it.
        :param symbol: the symbol of a file without that column; likewise *interval* and *account*.
        :param max_rejected: the number of rows that may be rejected, or their share as ``"1%"``; with more, nothing is stored. None for no limit.
        :param covers: the first time and the first excluded of a range of which the data have all rows, of each of their symbols: it is entered into
            the ledger, see :attr:`sources`. None if nothing is known of times without rows.
        :param progress: called with the number of rows read, and the share of the data from 0 to 1, or None if it is unknown.
        :param options: how the rows are read, as ``tz="America/New_York"``; see :class:`fpa_core.formats.Format`.
        :raises DataError: if the data cannot be read at all, or more rows are rejected than allowed. A row that cannot be parsed is quarantined.
        """
        from fpa_core.ingest import ingest, notify_quarantined

        made = Input(self._components, data, via, start, end, format, kind, symbol, interval, account, options)
        chunks, label, before_commit = made.chunks(), made.origin(origin), None
        if covers is not None:
            covering = Covering(
                covers, label, now_ns=self.store.writer.clock(), kind=kind, symbol=symbol, interval=interval
            )
            chunks, before_commit = covering.watch(chunks), covering.enter
        receipt = ingest(
            self.store,
            self.validator,
            chunks,
            origin=label,
            before_commit=before_commit,
            path=made.path,
            progress=progress,
            max_rejected=max_rejected,
            said=made.said,
        )
        notify_quarantined(self.store, self.plugins, receipt)
        return receipt

    def ingest_files(
        self, *paths: str | os.PathLike[str], progress: Callable[[Path], Progress] | None = None, **options: Any
    ) -> list[Receipt]:
        """Ingest files, folders of files and globs such as ``day/*.csv``, each file as a batch of its own, in the order of their names.

        The options are those of :meth:`ingest`.

        :raises DataError: as :meth:`ingest` does; the files before that one are stored. Also for several files and one *symbol*, before any is stored.
        """
        files = files_of(*paths)
        symbol = options.get("symbol")
        if len(files) > 1 and symbol and "{name}" not in symbol:
            raise DataError(
                f"{len(files)} files and one symbol {symbol!r}: are they all of that symbol?",
                hint="symbol='{name}' takes it from the name of each file; or ingest them one at a time",
            )
        return [self.ingest(path, progress=None if progress is None else progress(path), **options) for path in files]

    def sniff(
        self,
        data: Any,
        *,
        format: str | None = None,  # noqa: A002
        kind: Kind | str | None = None,
        symbol: str | None = None,
        interval: str | None = None,
        account: str | None = None,
        **options: Unpack[FormatOptions],
    ) -> Sequence[Sniffed]:
        """Return how each table in a file, or a table, would be read, from its first rows; nothing is stored.

        The parameters are those of :meth:`ingest`.

        :raises DataError: if it cannot be opened, or is not a table.
        """
        made = Input(self._components, data, None, None, None, format, kind, symbol, interval, account, options)
        found: Sequence[Sniffed] = self.source("files").sniff(made.request())  # type: ignore[attr-defined]  # only this source can do it
        return found

    def stream(
        self, *, origin: str = "api", max_rows: int = 256, max_delay: Any = "50ms", max_waiting: int = 16_384
    ) -> Stream:
        """Validate and store records one at a time as they come, from any thread, durably in groups.

        The parameters are those of :meth:`fpa_core.store.DataStore.stream`. A record that breaks a rule of severity error is quarantined, which is
        the outcome of its future.
        """
        from fpa_core.ingest import LiveValidator

        return self.store.stream(
            origin=origin,
            max_rows=max_rows,
            max_delay=max_delay,
            max_waiting=max_waiting,
            record_filter=LiveValidator(self.validator, self.plugins.notify),
        )

    def astream(
        self, *, origin: str = "api", max_rows: int = 256, max_delay: Any = "50ms", max_waiting: int = 16_384
    ) -> AsyncStream:
        """Do the same as :meth:`stream` on an event loop."""
        from fpa_core.store.streams.stream import AsyncStream

        begin = functools.partial(
            self.stream, origin=origin, max_rows=max_rows, max_delay=max_delay, max_waiting=max_waiting
        )
        return AsyncStream(begin)

    # Sources

    @property
    def sources(self) -> Sources:
        """History, live data and accounts of the configured sources."""
        return self._components.sources

    @overload
    def get(
        self, what: type[T], symbol: str | Sequence[str], start: Any, end: Any = None, *, via: str, **options: Any
    ) -> Selection[T]: ...

    @overload
    def get(
        self, what: Kind | str, symbol: str | Sequence[str], start: Any, end: Any = None, *, via: str, **options: Any
    ) -> Selection[Any]: ...

    def get(
        self,
        what: Any,
        symbol: str | Sequence[str],
        start: Any,
        end: Any = None,
        *,
        via: str,
        interval: str | None = None,
        max_age: Any = None,
        ttl: Any = None,
        **options: Any,
    ) -> Selection[Any]:
        """Return the rows of a range as :meth:`select` does, after fetching from a source what of it is not stored yet.

        :param end: the first instant excluded; None for now.
        :param via: the source.
        :param interval: that of bars; a day unless another is given.
        :param max_age: how old the newest row of each symbol may be, as in :meth:`select`; None for any age.
        :param ttl: how long what is too young to be final is not fetched again, as ``"1s"``; None for 5 seconds, or *max_age* if that is shorter.
        :param options: those of :meth:`fpa_core.sources.service.Sources.history`.
        :raises StaleDataError: when something is read, if the source has nothing that fresh.
        :raises SourceError: if the source fails.
        """
        from fpa_core.sources.recent import RECENT_TTL

        (first, *_) = self.sources.subjects(via, what, symbol, interval)
        if ttl is None:
            ttl = RECENT_TTL if max_age is None else min(RECENT_TTL, to_seconds(max_age, "max_age"))
        self.sources.history(via, what, symbol, start=start, end=end, interval=interval, ttl=ttl, **options)
        if first.interval is None:
            return self.select(what, symbol, start=start, end=end, max_age=max_age)
        return self.select(what, symbol, start=start, end=end, max_age=max_age, interval=first.interval)

    # Reading and validating

    @overload
    def select(
        self, what: type[T], symbol: str | Sequence[str] | None = None, **options: Unpack[SelectOptions]
    ) -> Selection[T]: ...

    @overload
    def select(
        self, what: Kind | str, symbol: str | Sequence[str] | None = None, **options: Unpack[SelectOptions]
    ) -> Selection[Any]: ...

    def select(
        self,
        what: Any,
        symbol: str | Sequence[str] | None = None,
        *,
        start: Any = None,
        end: Any = None,
        as_known_at: Any = None,
        batch: int | None = None,
        origin: str | Sequence[str] | None = None,
        limit: int | None = None,
        latest_first: bool = False,
        columns: Sequence[str] | None = None,
        order: str = "symbol",
        adjust: str | None = None,
        max_age: Any = None,
        **equal: Unpack[ColumnConditions],
    ) -> Selection[Any]:
        """Describe rows to read; nothing is read yet. The parameters are those of :meth:`fpa_core.store.DataStore.select`."""
        selection: Selection[Any] = self.store.select(
            what,
            symbol,
            start=start,
            end=end,
            as_known_at=as_known_at,
            batch=batch,
            origin=origin,
            limit=limit,
            latest_first=latest_first,
            columns=columns,
            order=order,
            adjust=adjust,
            max_age=max_age,
            **equal,
        )
        return selection

    def sql(self, query: str, parameters: Sequence[Any] | dict[str, Any] | None = None) -> SqlAnswer:
        """Describe the answer to a query in SQL over all kinds, each a table of its name; nothing is read until the answer is.

        DuckDB computes it and reads the store in place: only the columns, symbols and time that the query needs. It has no access to files, and
        cannot write. ``timestamp`` is in microseconds, rounded down; ``ts_ns`` beside it is exact, as are decimals.

        :param parameters: the values of each ``?``, or by name of each ``$name``.
        :raises DataError: if it is not one statement that reads. Other mistakes are found when the answer is read.
        :raises MissingDependencyError: when DuckDB is not installed.
        """
        from fpa_core.sql import SqlAnswer

        return SqlAnswer(self._components.sql, query, parameters)

    def gaps(
        self,
        what: Any,
        symbols: str | Sequence[str] | None = None,
        *,
        start: Any = None,
        end: Any = None,
        interval: str | None = None,
        longer_than: str | float | None = None,
        calendar: str | None = None,
        as_known_at: Any = None,
    ) -> list[StoredGap]:
        """Return the gaps between stored quotes, trades or bars, by symbol, interval and time; see :func:`fpa_core.gaps.stored_gaps`.

        What a source has and was not fetched is another question: ``data.sources.gaps``.

        :param symbols: None for all that have rows.
        :param start: the first time of the range, and *end* the first after it; then what lacks before the first row and after the last is a gap, too.
        :param interval: only bars of this interval; None for those of each.
        :param longer_than: report only gaps during which the market was open longer, as ``"30m"`` or seconds. None takes all missing bars, and 15 minutes
            without a quote or trade.
        :param calendar: the exchange whose sessions count, such as XNYS; None for a market that is always open.
        :raises DataError: if a parameter is wrong, or the calendar does not cover the rows.
        :raises MissingDependencyError: if there is a calendar, and exchange_calendars is not installed.
        """
        from fpa_core.gaps import stored_gaps

        return list(
            stored_gaps(
                self.store,
                what,
                symbols,
                start=start,
                end=end,
                interval=interval,
                longer_than=longer_than,
                calendar=calendar,
                as_known_at=as_known_at,
            )
        )

    def validate(
        self,
        data: Any,
        *,
        kind: Kind | str | None = None,
        symbol: str | None = None,
        interval: str | None = None,
        account: str | None = None,
        format: str | None = None,  # noqa: A002
        progress: Progress | None = None,
        **options: Unpack[FormatOptions],
    ) -> ValidationResult:
        """Validate a file or records without storing them.

        The parameters are those of :meth:`ingest`. Rows that cannot be parsed count under the rule ``record.shape``.
        """
        from fpa_core.ingest import examine

        made = Input(self._components, data, None, None, None, format, kind, symbol, interval, account, options)
        if made.holds_records:
            return self.validator.validate(with_positions(made.data))
        return examine(self.validator, made.chunks(), progress=progress)

    def validate_together(
        self,
        *paths: str | os.PathLike[str],
        progress: Progress | None = None,
        kind: Kind | str | None = None,
        symbol: str | None = None,
        interval: str | None = None,
        account: str | None = None,
        format: str | None = None,  # noqa: A002
        **options: Unpack[FormatOptions],
    ) -> ValidationResult:
        """Validate files, folders and globs as one data set, without storing them: rules about series and about several kinds see the rows of all.

        Rows wait on disk, in the folder for temporary files, and memory is bounded: see :func:`fpa_core.together.examine_together`. Each finding has the
        ``file`` of its row.

        :param progress: called with the rows read of the present file, and the share of it.
        :raises DataError: if a file cannot be read.
        """
        from fpa_core.together import examine_together

        def read() -> Iterator[tuple[str, Iterator[Chunk]]]:
            for path in files_of(*paths):
                made = Input(self._components, path, None, None, None, format, kind, symbol, interval, account, options)
                yield str(path), made.chunks()

        return examine_together(self.validator, read(), progress=progress)

    def report(
        self,
        data: str | os.PathLike[str],
        *,
        kind: Kind | str | None = None,
        symbol: str | None = None,
        interval: str | None = None,
        account: str | None = None,
        format: str | None = None,  # noqa: A002
        progress: Progress | None = None,
        **options: Unpack[FormatOptions],
    ) -> FileReport:
        """Validate a file without storing it, and collect the content of :func:`fpa_core.report.page`: broken rules by time, examples, profiles, gaps.

        The parameters are those of :meth:`ingest`.
        """
        from fpa_core.report import examine as report_on
        from fpa_core.report import provenance_of

        made = Input(self._components, data, None, None, None, format, kind, symbol, interval, account, options)
        origin = provenance_of(data, self.config)
        return report_on(Path(data).name, self.validator, made.chunks(), provenance=origin, progress=progress)

    # Publishing

    def publish(
        self,
        to: str,
        *kinds: Kind | str | type[Any],
        scale: int | None = None,
        file_rows: int | None = None,
        replace: bool = False,
        verify: bool = False,
        progress: Callable[[Kind], Progress] | None = None,
    ) -> list[Publication]:
        """Bring tables of a lake to the last batch of the store: all of a table's changes in one commit, or none.

        :param to: the lake, of ``[lakes.NAME]`` or the name of a plugin's, such as ``iceberg``.
        :param kinds: the kinds to publish; none for all that the store has rows of, or the lake a table.
        :param scale: digits after the point of decimal columns; None for those a table has, or 18 for a new one.
        :param file_rows: about how many rows a file may have; None for a million.
        :param replace: write all files again, whatever the tables hold.
        :param verify: compare the whole tables with the store afterwards, not only the new files.
        :param progress: called for each kind; returns what is called with the number of rows written and the share of files done.
        :raises DataError: if a value does not fit the decimal columns.
        :raises DatabaseError: if a table belongs to another store, was changed by another program, or cannot be written.
        """
        from fpa_core.publish import FILE_ROWS, publish, published_kinds

        with contextlib.closing(self._components.lake(to)) as lake:
            chosen = list(dict.fromkeys(map(kind_of, kinds))) or published_kinds(self.store, lake, list(KINDS.values()))
            return [
                publish(
                    self.store,
                    lake,
                    kind,
                    scale=scale,
                    file_rows=FILE_ROWS if file_rows is None else file_rows,
                    replace=replace,
                    verify=verify,
                    progress=None if progress is None else progress(kind),
                )
                for kind in chosen
            ]

    # Closing

    def close(self) -> None:
        """Close what was opened; calling it twice does nothing."""
        self._components.close()

    def __repr__(self) -> str:
        config = self.config
        cache = config.cache.backend if isinstance(config.cache.backend, str) else "+".join(config.cache.backend)
        parts = f"store {config.store.backend}, cache {cache}, validator {config.validator.level}"
        return f"<DataLayer {displayed(str(config.path or 'without a file'))}: {parts}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
