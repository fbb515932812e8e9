"""The source itself: finds out what a file is, and yields its records in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from attrs import evolve

from fpa_core.exceptions import DataError
from fpa_core.protocols import Capability, Chunk, SourceRequest
from fpa_plugins.files import delimited, jsonlines, parquet
from fpa_plugins.files.convert import to_chunk
from fpa_plugins.files.headers import Layout, layout_of
from fpa_plugins.files.rows import Rows
from fpa_plugins.files.stream import Stream

__all__ = ["FilesSource"]

CODECS = {".gz": "gzip", ".zst": "zstd"}
FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}

BYTES_PER_ROW = 48
"""About what a quote takes in a CSV file; it turns the rows wanted in a chunk into bytes to read at once."""


class FilesSource:
    """Reads CSV, TSV, JSON Lines and Parquet files, the first three also when compressed with gzip or Zstandard."""

    capabilities: frozenset[Capability] = frozenset()

    def read(self, request: SourceRequest) -> Iterator[Chunk]:
        """Yield the records of the file at ``request.target``, in the order of its rows.

        The symbol, interval and account of the request stand in where the file names none.

        :raises DataError: when the file cannot be read, its kind cannot be told, or it has no rows.
        """
        path = Path(request.target)
        form, codec = _form(path)
        if not path.is_file():
            what = "this is a folder" if path.is_dir() else "there is no such file"
            raise DataError(f"{path}: {what}", source=str(path))
        layout: Layout | None = None
        names: tuple[str, ...] = ()
        with Stream(path, codec) as stream:
            for rows in _rows(form, stream, request.chunk_rows):
                notes: tuple[str, ...] = ()
                if layout is None or rows.names != names:
                    # Every object of a JSON Lines file may bring a new name; the kind stays what the first ones made it.
                    known = set(layout.ignored) if layout else set()
                    layout = layout_of(rows.names, request, stream.name)
                    request, names = evolve(request, kind=layout.kind), rows.names
                    notes = _notes([name for name in layout.ignored if name not in known])
                for piece in rows.pieces(request.chunk_rows):
                    yield to_chunk(layout, piece, stream.progress, notes)
                    notes = ()
            if layout is None:
                raise DataError(f"{path}: the file has no rows", source=str(path))


def _form(path: Path) -> tuple[str, str | None]:
    """Return the format and the compression that the name of *path* tells."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    codec = CODECS.get(suffixes[-1]) if suffixes else None
    form = FORMATS.get(suffixes[-2] if codec and len(suffixes) > 1 else suffixes[-1]) if suffixes else None
    if form is None:
        raise DataError(
            f"{path}: the name does not tell the format",
            hint=f"names end in {', '.join(FORMATS)}; all but the last may be followed by {' or '.join(CODECS)}",
            source=str(path),
        )
    if form == "parquet" and codec:
        raise DataError(
            f"{path}: a Parquet file is compressed inside, not as a whole",
            hint="decompress it first",
            source=str(path),
        )
    return form, codec


def _rows(form: str, stream: Stream, chunk_rows: int) -> Iterator[Rows]:
    size = min(max(chunk_rows * BYTES_PER_ROW, 1 << 16), 1 << 23)
    if form == "parquet":
        return parquet.read(stream, chunk_rows)
    if form == "jsonl":
        return jsonlines.read(stream, 2 * size)
    return delimited.read(stream, size, "\t" if form == "tsv" else ",")


def _notes(ignored: list[str]) -> tuple[str, ...]:
    return (f"columns not read: {', '.join(ignored)}",) if ignored else ()
