"""The data layer: opening it, and what it does with store, cache and validator together."""

from __future__ import annotations

import contextlib
import functools
import glob
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

import attrs

from fpa_core import config as configuration
from fpa_core.exceptions import DataError
from fpa_core.formats import Format, FormatOptions, check_options
from fpa_core.ingest import LiveGate, Progress, as_chunks, chunks_of, examine, ingest, with_times
from fpa_core.kinds import Kind, kind_of
from fpa_core.numbers import to_ns
from fpa_core.parts import Parts, structured
from fpa_core.protocols import Chunk, Sniffed, SourceRequest

if TYPE_CHECKING:
    from fpa_core.plugins import PluginManager
    from fpa_core.protocols import Receipt
    from fpa_core.report import FileReport
    from fpa_core.sources.service import Sources
    from fpa_core.store import Selection
    from fpa_core.store.stream import AsyncStream, Stream
    from fpa_core.validator import ValidationResult

__all__ = ["DataLayer", "open_layer"]

T = TypeVar("T")

IN_MEMORY = ":memory:"
"""What is opened in the place of a configuration for a layer that keeps nothing."""

TOLD_AT_ONCE = 1_000
"""Refused records that plugins are told of in one call."""


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

    :param path: the ``fpa.toml``; None looks for one in the current folder and above, and takes the defaults where there is none. ``":memory:"``
        opens an empty store in memory, with the defaults for all else: neither a file nor variables of the process are looked at.
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

    if path == IN_MEMORY:
        tree = configuration.load(env=env, environ=environ or {}, tables={"store": {"backend": "memory"}})
    else:
        tree = configuration.load(
            None if path is None else Path(path), env=env, environ=os.environ if environ is None else environ
        )
    manager = plugins or PluginManager(
        block=tree.plugins.block, required=tree.plugins.required, strict=tree.plugins.strict
    )
    layer = DataLayer(structured(tree, manager), manager, clock=clock)
    with contextlib.ExitStack() as stack:
        stack.callback(layer.close)  # unless all parts open
        if not lazy:
            _ = layer.store, layer.validator
            layer.open_cache()
        stack.pop_all()
    return layer


class DataLayer(Parts):
    """Validated, stored and cached records. Made by :func:`open_layer`; a context manager.

    :ivar config: the configuration in force.
    :ivar plugins: what was loaded, and what was not.
    """

    # Writing

    def ingest(
        self,
        data: Any,
        *,
        source: str | None = None,
        via: str | None = None,
        start: Any = None,
        end: Any = None,
        format: str | None = None,  # noqa: A002  # it is called so in the configuration, too
        kind: Kind | str | None = None,
        symbol: str | None = None,
        interval: str | None = None,
        account: str | None = None,
        max_rejected: int | str | None = None,
        progress: Progress | None = None,
        **options: Unpack[FormatOptions],
    ) -> Receipt:
        """Validate, store, and drop from the cache what changed; one batch, kept whole or not at all.

        :param data: a path or an open file; a frame of pandas or polars, an Arrow table or anything that offers itself as an Arrow stream;
            dicts, or lists of values; a record, or records of any kinds; with *via*, what that source takes, as a symbol.
        :param source: where the data come from, as ``fxcm`` or ``alpaca:sip``; for provenance.
        :param via: the source to read from; *start* and *end* the first instant that is wanted and the first that is not.
        :param format: the format to read with, of ``[formats.NAME]`` or built in; None recognises it.
        :param kind: the kind of the rows, where the columns leave that open.
        :param symbol: the symbol of a file that names none; likewise *interval* and *account*.
        :param max_rejected: how many rows may be rejected, or which share, as ``"1%"``; with more, nothing is stored. None for any number.
        :param options: how the rows are read, as ``tz="America/New_York"``; see :class:`fpa_core.formats.Format`.
        :raises DataError: when the data cannot be read at all, or more rows are rejected than may be. A row that could not be parsed into a record is quarantined.
        """
        made = _Input(self, data, via, start, end, format, kind, symbol, interval, account, options)
        receipt = ingest(
            self.store,
            self.validator,
            made.chunks(),
            source=made.origin(source),
            path=made.path,
            progress=progress,
            max_rejected=max_rejected,
            said=made.said,
        )
        self.plugins.notify("fpa_ingested", receipt=receipt)
        if receipt.quarantined:
            refused = self.store.iter_quarantined(in_order=True, batch=receipt.batch)
            while records := list(itertools.islice(refused, TOLD_AT_ONCE)):
                self.plugins.notify("fpa_quarantined", batch=receipt.batch, records=records)
        return receipt

    def ingest_files(
        self, *paths: str | os.PathLike[str], progress: Callable[[Path], Progress] | None = None, **options: Any
    ) -> list[Receipt]:
        """Ingest files, folders of files and globs such as ``day/*.csv``, each file as a batch of its own, in the order of their names.

        The options are those of :meth:`ingest`.

        :raises DataError: as :meth:`ingest` does; the files before are stored then. Several files of one *symbol* are asked about at once.
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
        """Return how each table within a file, or a table, would be read, from its first rows; nothing is stored.

        The parameters are those of :meth:`ingest`.

        :raises DataError: when it cannot be opened, or is no table at all.
        """
        made = _Input(self, data, None, None, None, format, kind, symbol, interval, account, options)
        found: Sequence[Sniffed] = self.source("files").sniff(made.request())  # type: ignore[attr-defined]  # what it has more than others
        return found

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

    # Sources

    @functools.cached_property
    def sources(self) -> Sources:
        """History, live data and accounts of the sources."""
        from fpa_core.sources.service import Sources

        return Sources(
            store=lambda: self.store,
            validator=lambda: self.validator,
            source=self.source,
            stream=self.stream,
            notify=self.plugins.notify,
            clock=self._clock,
        )

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
        **options: Any,
    ) -> Selection[Any]:
        """Return the rows of a range as :meth:`select` does, after fetching from a source what of it is not stored yet.

        :param end: the first instant excluded; None for now.
        :param via: the source.
        :param interval: that of bars; a day unless another is given.
        :param options: those of :meth:`fpa_core.sources.service.Sources.history`.
        :raises SourceError: if the source fails.
        """
        (first, *_) = self.sources.subjects(via, what, symbol, interval)
        self.sources.history(via, what, symbol, start=start, end=end, interval=interval, **options)
        conditions = {} if first.interval is None else {"interval": first.interval}
        return self.select(what, symbol, start=start, end=end, **conditions)

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
        format: str | None = None,  # noqa: A002
        progress: Progress | None = None,
        **options: Unpack[FormatOptions],
    ) -> ValidationResult:
        """Judge a file or records without storing them; what is said of each rule is what an ingest would go by.

        The parameters are those of :meth:`ingest`. Rows that are no records count under the rule ``record.shape``.
        """
        made = _Input(self, data, None, None, None, format, kind, symbol, interval, account, options)
        if made.holds_records:
            return self.validator.validate(_with_positions(made.data))
        return examine(self.validator, made.chunks(), progress=progress)

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
        """Judge a file without storing it, and gather what :func:`fpa_core.report.page` shows: when and where rules were broken, examples, profiles, gaps.

        The parameters are those of :meth:`ingest`.
        """
        from fpa_core.report import examine as report_on

        made = _Input(self, data, None, None, None, format, kind, symbol, interval, account, options)
        return report_on(Path(data).name, self.validator, made.chunks(), progress=progress)


def files_of(*paths: str | os.PathLike[str]) -> list[Path]:
    """Return the files that paths, folders and globs name, in the order of their names.

    :raises DataError: when a folder or a glob has none.
    """
    found: list[Path] = []
    for given in paths:
        path = Path(given)
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.is_file() and not each.name.startswith("."))
        elif not path.exists() and glob.has_magic(str(path)):
            named = sorted(glob.iglob(str(path), recursive=True))  # noqa: PTH207 - Path.glob takes no absolute patterns
            inside = [Path(each) for each in named if Path(each).is_file()]
        else:
            found.append(path)
            continue
        if not inside:
            raise DataError(f"{path}: there are no files", source=str(path))
        found += inside
    return found


class _Input:
    """What is to be ingested, sniffed or judged, and through which source it is read."""

    def __init__(
        self,
        layer: Parts,
        data: Any,
        via: str | None,
        start: Any,
        end: Any,
        format_name: str | None,
        kind: Kind | str | None,
        symbol: str | None,
        interval: str | None,
        account: str | None,
        options: FormatOptions,
    ) -> None:
        check_options(options)
        if via is None:
            said = [name for name, at in (("start", start), ("end", end)) if at is not None]
            if said:
                raise DataError(
                    f"{' and '.join(said)}: only a source that is named with `via` is asked for a range of time",
                    hint="say via=..., or select the range after all is stored",
                    field=said[0],
                )
        self._layer = layer
        self._via = via
        self._bounds = tuple(
            None if at is None else to_ns(at, name, dates=True) for name, at in (("start", start), ("end", end))
        )
        self._format_name = format_name
        self._kind = None if kind is None else kind_of(kind)
        self._given = {"symbol": symbol, "interval": interval, "account": account}
        self._options = options
        self._form = Format(**options)
        self.data = data
        self.holds_records = False
        if via is None and not is_table(data):
            self.holds_records, self.data = _peeked(data)

    @property
    def path(self) -> Path | None:
        """The file, where it is one."""
        if (
            self._via is not None
            or not isinstance(self.data, (str, os.PathLike))
            or str(self.data) in {"-", "/dev/stdin"}
        ):
            return None
        return Path(self.data)

    @property
    def said(self) -> dict[str, Any]:
        """What the user says of how to read it."""
        kind = None if self._kind is None else self._kind.name
        given = {"format": self._format_name, "kind": kind, **self._given, **self._options}
        return {name: value for name, value in given.items() if value is not None}

    def origin(self, label: str | None) -> str:
        """Return what provenance calls it."""
        if self.holds_records:
            return label or "api"
        name = self._via or (
            "files" if isinstance(self.data, (str, os.PathLike)) or hasattr(self.data, "read") else "api"
        )
        return f"{name}:{label}" if label else name

    def request(self) -> SourceRequest:
        """Return what the source is asked for."""
        start, end = self._bounds
        return SourceRequest(
            os.fspath(self.data) if isinstance(self.data, os.PathLike) else self.data,
            self._kind,
            start=start,
            end=end,
            format=self._form,
            format_name=self._format_name,
            formats=self._layer.formats,
            symbol=self._given["symbol"],
            interval=self._given["interval"],
            account=self._given["account"],
        )

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows."""
        if self.holds_records:
            return chunks_of(self._layer.store, self.data)
        found = self._layer.source(self._via or "files").read(self.request())
        return (with_times(chunk) for chunk in as_chunks(lambda: self._layer.store, found))


def is_table(data: Any) -> bool:
    """Return whether *data* is read as a file or a table, rather than being records."""
    return (
        isinstance(data, (str, os.PathLike, Mapping))
        or hasattr(data, "__arrow_c_stream__")
        or callable(getattr(data, "read", None))
    )


def _peeked(data: Any) -> tuple[bool, Any]:
    """Return whether *data* is records, by its first item, and the data with that item."""
    if attrs.has(type(data)):
        return True, data
    if not isinstance(data, Iterable):
        raise DataError(
            f"{type(data).__name__} cannot be ingested",
            hint="give a path, an open file, a frame, an Arrow table, dicts, or records",
            value=data,
        )
    items = iter(data)
    first = list(itertools.islice(items, 1))
    whole: Any = data if isinstance(data, Sequence) else itertools.chain(first, items)
    return not first or not isinstance(first[0], (Mapping, list, tuple)), whole


def _with_positions(records: Any) -> list[Any]:
    """Return one record or many with the positions of snapshots on their own, as they are stored."""
    from fpa_core.models import PortfolioSnapshot

    whole = list(records) if isinstance(records, Iterable) else [records]
    held = [position for one in whole if isinstance(one, PortfolioSnapshot) for position in one.positions]
    return whole + held
