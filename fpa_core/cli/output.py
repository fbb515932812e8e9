"""Output of commands: text for people, JSON for machines, and a progress bar on terminals only."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

import click

from fpa_core.display import displayed, displayed_error, json_safe, json_text
from fpa_core.exceptions import FpaError

if TYPE_CHECKING:
    import pyarrow as pa

    from fpa_core.ingest import Progress
    from fpa_core.kinds import Kind
    from fpa_core.protocols import Tick

__all__ = [
    "OutputError",
    "after_commit",
    "conceal",
    "data_output",
    "echo",
    "json_option",
    "masked",
    "note",
    "objects_of",
    "open_standard_streams",
    "print_json",
    "print_results",
    "progress_bar",
    "reserved_output",
    "say",
    "show_error",
    "standard_output",
    "style",
    "text_rows",
    "when",
    "work_bar",
    "writing",
]

BROKEN_PIPE = 141
"""The exit code after the reader of a pipe has closed it, as in shells: 128 plus the signal number."""


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines: results, summary, error.")
"""The option of every command with machine-readable output."""


class OutputError(FpaError):
    """Raised if standard output cannot be written. What the command has already stored stays stored."""


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Turn failures to write to standard output into an :class:`OutputError`; exit quietly if the reader of a pipe has closed it."""
    try:
        yield
    except OSError as error:
        _drop_output()
        if error.errno in {errno.EPIPE, errno.ESHUTDOWN}:
            raise click.exceptions.Exit(BROKEN_PIPE) from None
        raise OutputError(f"standard output cannot be written: {error.strerror or error}") from error


def _drop_output() -> None:
    """Discard buffered output; otherwise Python would fail on it again at exit."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), standard_output().fileno())


@contextlib.contextmanager
def after_commit(done: str) -> Iterator[None]:
    """Add to an :class:`OutputError` what has been done nevertheless, such as "stored: batch 7"."""
    try:
        yield
    except OutputError as error:
        raise OutputError(f"{error.message}; {done}") from error


class _Closed(io.TextIOBase):
    """Stand-in for a standard stream that the caller closed, for which Python has None."""

    @property
    def buffer(self) -> _Closed:
        return self

    def write(self, _: Any) -> int:
        raise OSError(errno.EBADF, "it is closed")


def open_standard_streams() -> None:
    """Replace a closed standard output by a stream that fails on writes, and a closed standard error by the null device."""
    if sys.stdout is None:
        sys.stdout = _Closed()  # It is None when the descriptor is closed
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


_reserved: IO[str] | None = None


@contextlib.contextmanager
def reserved_output() -> Iterator[None]:
    """Keep standard output for results: what plugins print meanwhile goes to standard error, so that programs can read the results."""
    global _reserved  # noqa: PLW0603 - there is one standard output
    if _reserved is not None:
        yield
        return
    _reserved = sys.stdout
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _reserved = None


def standard_output() -> IO[str]:
    """Return the stream for results."""
    return sys.stdout if _reserved is None else _reserved


def echo(text: str) -> None:
    """Print a text on standard output as it is; within :func:`writing`."""
    click.echo(text, file=standard_output())


def say(text: str, *, lines: bool = False) -> None:
    """Print a text on standard output, with control characters escaped.

    :param lines: keep line feeds. Use it only for texts without content from files or databases.
    """
    with writing():
        echo(displayed(text, keep="\n" if lines else ""))


def print_json(value: Any) -> None:
    """Print *value* as JSON, indented on a terminal and on one line in a pipe."""
    with writing():
        echo(json_text(value, indent=2 if standard_output().isatty() else None))


def print_results(results: Iterable[Any], *, error: Mapping[str, Any] | None = None, **summary: Any) -> None:
    """Print what ``--json`` asks for, in the one form that every command has: ``{"results", "summary", "error"}``.

    :param results: an object for each thing that the command is about: rows, files, batches.
    :param error: what ended the command, after these results.
    :param summary: what is said of all results together.
    """
    print_json({"results": list(results), "summary": summary, "error": error})


def objects_of(reader: pa.RecordBatchReader) -> list[Any]:
    """Return the rows of a table as objects: as JSON Lines has them."""
    import json

    from fpa_core.export import write_table

    lines = io.BytesIO()
    write_table(reader, lines, "jsonl")
    return [json.loads(line) for line in lines.getvalue().splitlines()]


@contextlib.contextmanager
def data_output(form: str) -> Iterator[BinaryIO]:
    """Yield standard output for data in the format *form*: unchanged in a pipe or a file, escaped on a terminal."""
    with writing():
        out = standard_output()
        raw = cast(BinaryIO, out.buffer)  # type: ignore[attr-defined]  # a text stream over bytes
        stream = cast(BinaryIO, _Terminal(raw, form) if out.isatty() else raw)
        yield stream
        stream.flush()


class _Terminal:
    """Writes CSV or JSON Lines to a terminal, with control characters escaped."""

    def __init__(self, raw: BinaryIO, form: str) -> None:
        self._raw = raw
        self._escape = json_safe if form == "jsonl" else self._csv
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._quoted = False

    def write(self, data: Any) -> int:
        self._raw.write(self._escape(self._decoder.decode(bytes(data))).encode())
        return len(data)

    def writelines(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._raw.flush()

    def _csv(self, text: str) -> str:
        """Escape a part of a CSV file. Line feeds end a row, except within quotes, where they are data."""
        shown = []
        for place, piece in enumerate(text.split('"')):
            self._quoted ^= place > 0
            shown.append(displayed(piece, keep="" if self._quoted else "\n"))
        return '"'.join(shown)


def text_rows(kind: Kind, batch: pa.RecordBatch) -> Iterator[tuple[str | None, ...]]:
    """Yield the rows of a batch as text, with exact decimals and times."""
    from fpa_core.arrow import columns

    read = {"decimal": columns.as_texts, "time": columns.times_as_texts}
    cells = [read.get(c.type, lambda values: values)(batch.column(c.name)).to_pylist() for c in kind.columns]
    return zip(*cells, strict=True)


_secrets: frozenset[str] = frozenset()


def conceal(secrets: frozenset[str]) -> None:
    """Mask these texts in remarks and errors from now on, such as a part of a path that came from a secret variable."""
    global _secrets  # noqa: PLW0603 - there is one terminal
    _secrets = secrets


def masked(text: str) -> str:
    """Return a text with the configured secrets masked."""
    if not _secrets:
        return text
    from fpa_core.config import redact

    return redact(text, _secrets)


def note(text: str) -> None:
    """Print a remark on standard error, separate from data. Control characters are escaped, and secrets masked."""
    _to_standard_error(displayed(masked(text)))


def style(text: str, **options: Any) -> str:
    """Return *text* as :func:`click.style` does; unchanged if the variable ``NO_COLOR`` is set (see https://no-color.org)."""
    return text if os.environ.get("NO_COLOR") else click.style(text, **options)


def show_error(error: FpaError) -> None:
    """Print an error and its hint on standard error; secrets are masked."""
    _to_standard_error(f"{style('error:', fg='red', bold=True)} {masked(displayed_error(error))}")


def _to_standard_error(text: str) -> None:
    # If standard error cannot be written, there is no place left to report it.
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


def when(ns: int | None) -> str:
    """Return a time as exact text, without a fraction if it is a whole second."""
    from fpa_core.numbers import ns_text

    return "" if ns is None else ns_text(ns)


@contextlib.contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """Show the progress of reading a file; only on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _rows, _share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(displayed(label), total=1.0, rows=0)

        def advance(rows: int, share: float | None) -> None:
            bar.update(task, completed=share or 0.0, rows=rows)

        yield advance


@contextlib.contextmanager
def work_bar(label: str) -> Iterator[Tick]:
    """Show how much of something is done; only on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _all: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(displayed(label), total=1.0)
        yield lambda done, whole: bar.update(task, completed=done, total=whole or 1)
