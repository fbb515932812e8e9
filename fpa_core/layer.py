"""The data layer: opening it, and what it does with store, cache and validator together."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from fpa_core import config as configuration
from fpa_core.ingest import LiveGate, Progress, chunks_of, examine, ingest, with_times
from fpa_core.parts import Parts, structured
from fpa_core.protocols import Chunk, SourceRequest
from fpa_core.records import Kind, kind_of

if TYPE_CHECKING:
    from fpa_core.plugins import PluginManager
    from fpa_core.receipt import Receipt
    from fpa_core.report import FileReport
    from fpa_core.store import Selection
    from fpa_core.store.stream import AsyncStream, Stream
    from fpa_core.validator import ValidationResult

__all__ = ["DataLayer", "open_layer"]

T = TypeVar("T")

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
    layer = DataLayer(structured(tree, manager), manager, clock=clock)
    with contextlib.ExitStack() as stack:
        stack.callback(layer.close)  # unless all parts open
        for part in () if lazy else ("store", "cache", "validator"):
            getattr(layer, part)
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
        receipt = ingest(self.store, self.validator, chunks, source=source, path=path, progress=progress)
        self.plugins.notify("fpa_ingested", receipt=receipt)
        if receipt.quarantined:
            refused = self.store.iter_quarantined(in_order=True, batch=receipt.batch)
            while records := list(itertools.islice(refused, TOLD_AT_ONCE)):
                self.plugins.notify("fpa_quarantined", batch=receipt.batch, records=records)
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

    def report(
        self,
        data: str | os.PathLike[str],
        *,
        kind: Kind | str | None = None,
        symbol: str | None = None,
        interval: str | None = None,
        account: str | None = None,
        progress: Progress | None = None,
    ) -> FileReport:
        """Judge a file without storing it, and gather what :func:`fpa_core.report.page` shows: when and where rules were broken, examples, profiles, gaps.

        The parameters are those of :meth:`ingest`.
        """
        from fpa_core.report import examine as report_on

        chunks = self._read(data, kind, symbol, interval, account)
        return report_on(Path(data).name, self.validator, chunks, progress=progress)


def _with_positions(records: Any) -> list[Any]:
    """Return one record or many with the positions of snapshots on their own, as they are stored."""
    from fpa_core.models import PortfolioSnapshot

    whole = list(records) if isinstance(records, Iterable) else [records]
    held = [position for one in whole if isinstance(one, PortfolioSnapshot) for position in one.positions]
    return whole + held
