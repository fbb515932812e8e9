"""What callers pass to be ingested, sniffed or validated: files, tables or records."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from fpa_core.exceptions import DataError
from fpa_core.formats import Format, FormatOptions, check_options
from fpa_core.kinds import Kind, kind_of
from fpa_core.numbers import to_ns
from fpa_core.protocols import Chunk, SourceRequest

if TYPE_CHECKING:
    from fpa_core.layer.components import Components

__all__ = ["Input", "files_of", "with_positions"]


def files_of(*paths: str | os.PathLike[str]) -> list[Path]:
    """Return the files that paths, folders and globs name, in the order of their names.

    :raises DataError: if a folder or a glob has none.
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


class Input:
    """Data to ingest, sniff or validate, and the source that reads them.

    :param components: the store and the sources of the layer.
    """

    def __init__(
        self,
        components: Components,
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
            given = [name for name, at in (("start", start), ("end", end)) if at is not None]
            if given:
                raise DataError(
                    f"{' and '.join(given)}: only a source named with `via` takes a range of time",
                    hint="give via=..., or select the range once all is stored",
                    field=given[0],
                )
        self._components = components
        self._via = via
        self._bounds = tuple(
            None if at is None else to_ns(at, name, dates=True) for name, at in (("start", start), ("end", end))
        )
        self._format_name = format_name
        self._kind = None if kind is None else kind_of(kind)
        self._given = {"symbol": symbol, "interval": interval, "account": account}
        for name, text in (*self._given.items(), ("format", format_name), ("via", via)):
            if text is not None and not isinstance(text, str):
                raise DataError(f"{name}: a text is needed, not {text!r}", field=name, value=text)
        self._options = options
        self._form = Format(**options)
        self.data = data
        self.holds_records = False
        if via is None and not is_table(data):
            self.holds_records, self.data = _peeked(data)

    @property
    def path(self) -> Path | None:
        """The file; None if the data are not in one."""
        if (
            self._via is not None
            or not isinstance(self.data, (str, os.PathLike))
            or str(self.data) in {"-", "/dev/stdin"}
        ):
            return None
        return Path(self.data)

    @property
    def said(self) -> dict[str, Any]:
        """The options the user gave for reading."""
        kind = None if self._kind is None else self._kind.name
        given = {"format": self._format_name, "kind": kind, **self._given, **self._options}
        return {name: value for name, value in given.items() if value is not None}

    def origin(self, label: str | None) -> str:
        """Return the origin of the batch: *label*, after the name of the source."""
        if self.holds_records:
            return label or "api"
        name = self._via or (
            "files" if isinstance(self.data, (str, os.PathLike)) or hasattr(self.data, "read") else "api"
        )
        return f"{name}:{label}" if label else name

    def request(self) -> SourceRequest:
        """Return the request to the source."""
        start, end = self._bounds
        return SourceRequest(
            os.fspath(self.data) if isinstance(self.data, os.PathLike) else self.data,
            self._kind,
            start=start,
            end=end,
            format=self._form,
            format_name=self._format_name,
            formats=self._components.formats,
            symbol=self._given["symbol"],
            interval=self._given["interval"],
            account=self._given["account"],
        )

    def chunks(self) -> Iterator[Chunk]:
        """Return the rows in chunks."""
        from fpa_core.ingest.chunks import as_chunks, chunks_of, with_times

        if self.holds_records:
            return chunks_of(self._components.store, self.data)
        found = self._components.source(self._via or "files").read(self.request())
        return (with_times(chunk) for chunk in as_chunks(lambda: self._components.store, found))


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


def with_positions(records: Any) -> list[Any]:
    """Return one record or several, and the positions of snapshots as records, as they are stored."""
    from fpa_core.models import PortfolioSnapshot

    whole = list(records) if isinstance(records, Iterable) else [records]
    held = [position for one in whole if isinstance(one, PortfolioSnapshot) for position in one.positions]
    return whole + held
