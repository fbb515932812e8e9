"""A data layer for an event loop, which it never blocks: every call runs in a thread of a pool."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import itertools
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar, Unpack, overload

from fpa_core.exceptions import DatabaseError
from fpa_core.layer.datalayer import DataLayer
from fpa_core.layer.opening import open_layer
from fpa_core.models import Quote

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from fpa_core.arrow.decimals import Prices
    from fpa_core.arrow.frames import Numeric
    from fpa_core.kinds import Kind
    from fpa_core.plugins import PluginManager
    from fpa_core.protocols import Batch, InventoryEntry, Receipt
    from fpa_core.sql import SqlAnswer
    from fpa_core.store import Selection
    from fpa_core.store.queries import ColumnConditions, SelectOptions
    from fpa_core.store.streams.stream import AsyncStream

__all__ = ["AsyncDataLayer", "AsyncSelection", "AsyncSqlAnswer", "Opening", "aopen"]

RECORDS = 1_024
"""Records that an iteration fetches at once."""

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_END: Any = object()


class _Threads:
    """The threads that calls run in."""

    def __init__(self, workers: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="fpa-async")
        self._closed = False

    async def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a thread, with the context of the caller, and return what it returns.

        :raises DatabaseError: if the layer is closed.
        """
        return await asyncio.wrap_future(self.submit(function, *args, **kwargs))

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call a function in a thread, and return its future."""
        if self._closed:
            raise DatabaseError("the data layer is closed", operation="call")
        return self._pool.submit(contextvars.copy_context().run, functools.partial(function, *args, **kwargs))

    async def iterate(self, begin: Callable[[], Iterator[T]]) -> AsyncGenerator[T, None]:
        """Yield what an iterator yields. It runs in a thread of its own, which carries the snapshot that a reading holds."""
        if self._closed:
            raise DatabaseError("the data layer is closed", operation="read")
        thread = ThreadPoolExecutor(1, thread_name_prefix="fpa-async-read")
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        source: list[Iterator[T]] = []

        def following() -> T:
            if not source:
                source.append(begin())
            return next(source[0], _END)

        def close() -> None:
            for iterator in source:
                if isinstance(iterator, Generator):
                    iterator.close()

        try:
            while (piece := await loop.run_in_executor(thread, context.run, following)) is not _END:
                yield piece
        finally:
            # It waits for a step that a cancelled caller has left behind, and the snapshot is let go.
            ending = loop.run_in_executor(thread, close)
            thread.shutdown(wait=False)
            await asyncio.shield(ending)

    def close(self, *, wait: bool = True) -> None:
        """Take no further calls, and wait until those that are running have ended."""
        self._closed = True
        self._pool.shutdown(wait=wait)


class AsyncSelection(Generic[R]):
    """Rows to read, as :class:`fpa_core.Selection` describes them; each reading is awaited.

    ``async for record in selection`` reads records as they come.

    :ivar selection: the description, for what this class has no method for.
    """

    def __init__(self, threads: _Threads, selection: Selection[R]) -> None:
        self._threads = threads
        self.selection = selection

    def __repr__(self) -> str:
        return f"Async{self.selection!r}"

    async def __aiter__(self) -> AsyncIterator[R]:
        async with contextlib.aclosing(self._threads.iterate(lambda: _portions(self.selection))) as portions:
            async for some in portions:
                for record in some:
                    yield record

    async def to_list(self) -> list[R]:
        """Return all records."""
        return await self._threads.call(self.selection.to_list)

    async def first(self) -> R | None:
        """Return the first record; None if there is none."""
        return await self._threads.call(self.selection.first)

    async def count(self) -> int:
        """Count the rows."""
        return await self._threads.call(self.selection.count)

    async def to_arrow(self, prices: Prices = "decimal") -> pa.Table:
        """Return the rows as an Arrow table; see :meth:`fpa_core.Selection.to_arrow`."""
        return await self._threads.call(self.selection.to_arrow, prices)

    async def to_pandas(self, numeric: Numeric = "float") -> pd.DataFrame:
        """Return the rows as a pandas frame."""
        return await self._threads.call(self.selection.to_pandas, numeric)

    async def to_polars(self, numeric: Numeric = "float") -> pl.DataFrame:
        """Return the rows as a polars frame."""
        return await self._threads.call(self.selection.to_polars, numeric)

    async def write(self, path: str | os.PathLike[str]) -> int:
        """Write the rows to a file, exactly, and return their number."""
        return await self._threads.call(self.selection.write, path)

    def batches(self, rows: int = 16_384, prices: Prices = "decimal") -> AsyncGenerator[pa.RecordBatch, None]:
        """Yield the rows in Arrow batches of at most *rows*."""
        return self._threads.iterate(lambda: iter(self.selection.batches(rows, prices)))


class AsyncSqlAnswer:
    """The answer to a query in SQL, as :class:`fpa_core.sql.SqlAnswer` describes it; each reading is awaited.

    :ivar answer: the description.
    """

    def __init__(self, threads: _Threads, answer: SqlAnswer) -> None:
        self._threads = threads
        self.answer = answer

    async def to_list(self) -> list[dict[str, Any]]:
        """Return the rows as dicts."""
        return await self._threads.call(self.answer.to_list)

    async def to_arrow(self) -> pa.Table:
        """Return the answer as one Arrow table."""
        return await self._threads.call(self.answer.to_arrow)

    async def to_pandas(self, numeric: Numeric = "float") -> pd.DataFrame:
        """Return the answer as a pandas frame."""
        return await self._threads.call(self.answer.to_pandas, numeric)

    async def to_polars(self, numeric: Numeric = "float") -> pl.DataFrame:
        """Return the answer as a polars frame."""
        return await self._threads.call(self.answer.to_polars, numeric)

    async def write(self, path: str | os.PathLike[str]) -> int:
        """Write the answer to a file, and return the number of rows."""
        return await self._threads.call(self.answer.write, path)

    def batches(self, rows: int = 65_536) -> AsyncGenerator[pa.RecordBatch, None]:
        """Yield the answer in Arrow batches of about *rows*."""
        return self._threads.iterate(lambda: self.answer.batches(rows))


class AsyncDataLayer:
    """Validated, stored and cached records for an event loop, made by :func:`fpa_core.aopen`; an async context manager.

    What has no method here is called with :meth:`call`, as ``await data.call(data.layer.portfolio.positions, "main")``. A call whose caller is
    cancelled is completed in its thread all the same: a write may have been stored.

    :ivar layer: the data layer, which other threads may use as well.
    """

    def __init__(self, layer: DataLayer, threads: _Threads) -> None:
        self.layer = layer
        self._threads = threads

    def __repr__(self) -> str:
        return f"<Async{repr(self.layer).lstrip('<')}"

    async def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call any function of the layer in a thread, and return what it returns.

        :raises DatabaseError: if the layer is closed.
        """
        return await self._threads.call(function, *args, **kwargs)

    # Writing

    async def ingest(self, data: Any, **options: Any) -> Receipt:
        """Validate and store data as one batch; the parameters are those of :meth:`fpa_core.DataLayer.ingest`."""
        return await self.call(self.layer.ingest, data, **options)

    async def save(self, records: Any, *, origin: str = "api") -> Receipt:
        """Store a record, or records of any kinds, as one batch, without validating them; see :meth:`fpa_core.DataStore.save`."""
        return await self.call(self.layer.store.save, records, origin=origin)

    async def delete(self, selection: AsyncSelection[Any], *, origin: str = "api") -> Receipt:
        """Delete the rows of a selection; see :meth:`fpa_core.DataStore.delete`."""
        return await self.call(self.layer.store.delete, selection.selection, origin=origin)

    async def undo(self, batch_id: int) -> Receipt:
        """Undo a batch; see :meth:`fpa_core.DataStore.undo`."""
        return await self.call(self.layer.store.undo, batch_id)

    def stream(
        self, *, origin: str = "api", max_rows: int = 256, max_delay: Any = "50ms", max_waiting: int = 16_384
    ) -> AsyncStream:
        """Validate and store records one at a time as they come; see :meth:`fpa_core.DataLayer.astream`."""
        return self.layer.astream(origin=origin, max_rows=max_rows, max_delay=max_delay, max_waiting=max_waiting)

    # Reading

    @overload
    def select(
        self, what: type[R], symbol: str | Sequence[str] | None = None, **options: Unpack[SelectOptions]
    ) -> AsyncSelection[R]: ...

    @overload
    def select(
        self, what: Kind | str, symbol: str | Sequence[str] | None = None, **options: Unpack[SelectOptions]
    ) -> AsyncSelection[Any]: ...

    def select(
        self, what: Any, symbol: str | Sequence[str] | None = None, **options: Unpack[SelectOptions]
    ) -> AsyncSelection[Any]:
        """Describe rows to read; nothing is read yet. The parameters are those of :meth:`fpa_core.DataStore.select`."""
        return AsyncSelection(self._threads, self.layer.select(what, symbol, **options))

    async def latest(self, symbol: Any, what: Any = Quote, **equal: Unpack[ColumnConditions]) -> Any:
        """Return the latest record of a symbol, or of each of several; see :meth:`fpa_core.DataStore.latest`."""
        return await self.call(lambda: self.layer.store.latest(symbol, what, **equal))

    async def as_of(self, symbol: Any, at: Any, what: Any = Quote, **equal: Unpack[ColumnConditions]) -> Any:
        """Return the last record at or before a time; see :meth:`fpa_core.DataStore.as_of`."""
        return await self.call(lambda: self.layer.store.as_of(symbol, at, what, **equal))

    async def inventory(self, what: Any = None) -> list[InventoryEntry]:
        """Return what is stored, by kind and symbol."""
        return await self.call(self.layer.store.inventory, what)

    async def batches(self, *, limit: int | None = None, children: bool = False) -> list[Batch]:
        """Return the stored batches, latest first."""
        return await self.call(self.layer.store.batches, limit=limit, children=children)

    async def sql(self, query: str, parameters: Sequence[Any] | dict[str, Any] | None = None) -> AsyncSqlAnswer:
        """Describe the answer to a query in SQL; see :meth:`fpa_core.DataLayer.sql`."""
        return AsyncSqlAnswer(self._threads, await self.call(self.layer.sql, query, parameters))

    # The end

    async def aclose(self) -> None:
        """Wait for the running calls, and close the layer; calling it twice does nothing."""

        def close() -> None:
            self._threads.close()
            self.layer.close()

        await asyncio.shield(asyncio.to_thread(close))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class Opening:
    """A data layer that is being opened: ``async with`` opens and closes it, ``await`` opens it alone."""

    def __init__(self, begin: Callable[[], DataLayer], workers: int) -> None:
        self._begin = begin
        self._workers = workers
        self._data: AsyncDataLayer | None = None

    def __await__(self) -> Generator[Any, None, AsyncDataLayer]:
        return self._open().__await__()

    async def _open(self) -> AsyncDataLayer:
        threads = _Threads(self._workers)
        opening = threads.submit(self._begin)
        try:
            return AsyncDataLayer(await asyncio.wrap_future(opening), threads)
        except BaseException:
            # One that opens after its caller was cancelled has no other owner.
            opening.add_done_callback(
                lambda done: None if done.cancelled() or done.exception() else done.result().close()
            )
            threads.close(wait=False)
            raise

    async def __aenter__(self) -> AsyncDataLayer:
        self._data = await self._open()
        return self._data

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._data is not None:
            await self._data.aclose()


def aopen(
    path: str | os.PathLike[str] | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    env: str | None = None,
    environ: Mapping[str, str] | None = None,
    plugins: PluginManager | None = None,
    clock: Callable[[], int] = time.time_ns,
    read_only: bool = False,
    workers: int = 8,
    **settings: Any,
) -> Opening:
    """Open a data layer for an event loop, which is not blocked by opening and closing either: ``async with fpa_core.aopen() as data``.

    The parameters are those of :func:`fpa_core.open`.

    :param workers: calls that may run at once; further ones wait for a thread.
    :raises ConfigError: with every problem of the configuration; all errors are raised when it is awaited.
    :raises PluginError: if a plugin that is needed does not load.
    :raises DatabaseError: if the database cannot be opened.
    """
    begin = functools.partial(
        open_layer,
        path,
        config=config,
        env=env,
        environ=environ,
        plugins=plugins,
        clock=clock,
        read_only=read_only,
        **settings,
    )
    return Opening(begin, workers)


def _portions(records: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(records)
    while some := list(itertools.islice(iterator, RECORDS)):
        yield some
