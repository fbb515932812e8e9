"""Detect the type of a file from its first bytes: compressed, an archive, a table, or unsupported."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
from attrs import frozen

from fpa_core.exceptions import DataError
from fpa_plugins.files.readable import Readable

__all__ = ["HEAD", "Content", "contents_of", "named"]

HEAD = 64 * 1024
"""Bytes of a file that are looked at to find out what it is."""

MAX_NESTING = 3
"""Containers within containers that are opened."""

MAX_RATIO, RATIO_FROM = 200, 64 * 1024 * 1024
"""How many times its size a file may unpack to, once that is more than 64 MiB: tables of records come nowhere near."""

MANY_MEMBERS, LEAST_BYTES = 5_000, 4_096
"""Members of a ZIP archive beyond which they must not be tiny on average: each costs as much time as a file does, some milliseconds."""

_SPOOLED = 16 * 1024 * 1024
"""Bytes of a stream held in memory; more go to a temporary file."""

_DAMAGES = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    pa.ArrowException,
)
"""Errors raised for archives that are truncated, damaged or encrypted."""


@frozen
class Content:
    """One table within a file: the file itself, or a member of an archive.

    :ivar name: for messages, with that of the archive.
    :ivar file: the file name alone, by which a format may be recognised.
    :ivar kind: ``text``, ``parquet``, ``arrow``, ``feather`` or ``excel``.
    :ivar container: the compression or archive, such as ``gzip``; empty if there is none.
    :ivar head: its first bytes, :data:`HEAD` of them at most.
    :ivar opened: opens it again; *position* returns how much of the file has been read, from 0 to 1.
    """

    name: str
    file: str
    kind: str
    container: str
    opened: Callable[[], Readable]
    position: Callable[[], float]
    head: bytes

    @contextlib.contextmanager
    def seekable(self) -> Iterator[Any]:
        """Open it for random access, unpacked into a temporary file if need be."""
        with named(self.name):
            opened = self.opened()
        with contextlib.closing(opened) as stream:
            if not self.container and isinstance(stream, pa.NativeFile):
                yield stream
                return
            with tempfile.TemporaryFile() as unpacked:
                with named(self.name):
                    shutil.copyfileobj(stream, unpacked, 1 << 20)
                unpacked.seek(0)
                yield pa.PythonFile(unpacked, "r")


@contextlib.contextmanager
def named(name: str) -> Iterator[None]:
    """Convert errors while reading the file *name* to :class:`DataError`."""
    try:
        yield
    except _DAMAGES as error:
        if isinstance(error, OSError) and error.errno and error.filename:
            raise DataError(f"{name}: cannot be read: {error.strerror}", source=name) from error
        raise DataError(
            f"{name}: the file is cut off or damaged: {error}", hint="fetch or write the file again", source=name
        ) from error


_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"\xff\xff\xff\xff", "arrow"),
    (b"FEA1", "feather"),
    (b"DBN", "dbn"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "excel"),
)

_REFUSED: tuple[tuple[bytes, str, str], ...] = (
    (b"%PDF", "a PDF document", "export the table as CSV"),
    (b"SQLite format 3\x00", "an SQLite database", "export its table as CSV or Parquet"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it first"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"\x89HDF", "an HDF5 file", "write the frame as Parquet: frame.to_parquet(...)"),
    (b"\x80\x04\x95", "a Python pickle, which may run code when it is read", "write the frame as Parquet"),
    (b"\x80\x05\x95", "a Python pickle, which may run code when it is read", "write the frame as Parquet"),
    (b"\x93NUMPY", "a numpy array", "write a table: CSV or Parquet"),
    (b"\x89PNG", "a picture", "a table is needed"),
    (b"\x7fELF", "a program", "a table is needed"),
)

_COMPRESSED = ("gzip", "zstd", "bz2", "xz")


def contents_of(target: Any) -> Iterator[Content]:
    """Yield the tables within *target*: a path, ``-`` for standard input, or an open file.

    :raises DataError: if it cannot be opened, or is not a table.
    """
    if isinstance(target, (str, os.PathLike)) and str(target) not in {"-", "/dev/stdin"}:
        yield from _of_path(Path(target))
        return
    import sys

    stream = sys.stdin.buffer if isinstance(target, (str, os.PathLike)) else target
    name = "standard input" if stream is sys.stdin.buffer else str(getattr(stream, "name", "the open file"))
    with tempfile.SpooledTemporaryFile(_SPOOLED) as copy:
        _spool(stream, copy, name)
        yield from _of_copy(name, Path(name).name, copy, "", 0)


def _of_copy(name: str, file: str, copy: IO[bytes], container: str, depth: int) -> Iterator[Content]:
    """Yield the tables in a temporary file that has just been written."""
    size = copy.tell()
    yield from _of_stream(
        name, file, lambda: _View(copy, size), lambda: copy.tell() / size if size else 1.0, container, depth, size
    )


def _spool(stream: Any, copy: IO[bytes], name: str) -> None:
    """Copy an open file, binary or text, from its current position."""
    try:
        while block := stream.read(1 << 20):
            copy.write(block.encode("utf-8", "surrogateescape") if isinstance(block, str) else block)
    except (OSError, ValueError) as error:
        raise DataError(f"{name}: cannot be read: {error}", source=name) from error


class _View(io.RawIOBase):
    """A temporary file as one of its readers has it: at a position of its own, and not closed with it."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        self._file.seek(self._at)
        data = self._file.read(size)
        self._at += len(data)
        return data

    def readinto(self, buffer: Any, /) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        start = (0, self._at, self._size)[whence]
        self._at = max(start + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at


def _of_path(path: Path) -> Iterator[Content]:
    name = str(path)
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
    except (OSError, ValueError) as error:  # a name too long, or with a NUL
        raise DataError(f"{name}: cannot be opened: {error}", source=name) from error
    if not is_file:
        if is_folder:
            raise DataError(f"{name}: this is a folder", hint="give the files: FOLDER/*.csv", source=name)
        raise DataError(f"{name}: file not found", source=name)
    try:
        size = path.stat().st_size
        pa.OSFile(name).close()
    except (OSError, UnicodeEncodeError) as error:
        raise DataError(
            f"{name}: cannot be opened: {getattr(error, 'strerror', None) or error}", source=name
        ) from error
    last: list[pa.NativeFile] = []

    def opened() -> Readable:
        file: pa.NativeFile = pa.OSFile(name)
        last[:] = [file]
        return file  # type: ignore[no-any-return]

    def position() -> float:
        file = last[0] if last else None
        return min(file.tell() / size, 1.0) if size and file is not None and not file.closed else 1.0

    yield from _of_stream(name, path.name, opened, position, "", 0, size)


def _of_stream(
    name: str,
    file: str,
    opened: Callable[[], Readable],
    position: Callable[[], float],
    container: str,
    depth: int,
    size: int,
    head: bytes | None = None,
) -> Iterator[Content]:
    """Yield the tables in one stream, by its first bytes.

    :param size: bytes of the file that it is in.
    :param head: its first bytes, where they are known.
    """
    if head is None:
        with named(name), contextlib.closing(opened()) as stream:
            head = _filled(stream, HEAD)
    kind = next((kind for magic, kind in _MAGIC if head.startswith(magic)), "text")
    if kind in _COMPRESSED or kind == "zip":
        if depth == MAX_NESTING:
            raise DataError(f"{name}: archives within archives", hint="unpack it first", source=name)
        packed = f"{container}, {kind}" if container else kind
        if kind in _COMPRESSED:
            yield from _of_stream(
                name,
                _without_suffix(file),
                lambda: _Bounded(_decompressed(opened(), kind), name, size),
                position,
                packed,
                depth + 1,
                size,
                _unpacked(head) if kind == "gzip" else None,
            )
        else:
            yield from _of_zip(name, file, opened, position, packed, depth, size)
        return
    if kind == "dbn":
        yield from _of_dbn(name, file, opened, f"{container}, DBN" if container else "DBN")
        return
    if kind == "text":
        _refuse_strangers(name, head)
    yield Content(name, file, kind, container, opened, position, head)


def _of_dbn(name: str, file: str, opened: Callable[[], Readable], container: str) -> Iterator[Content]:
    """Yield Databento's binary form as the CSV that its library makes of it."""
    from fpa_plugins.files import dbn

    with tempfile.TemporaryFile() as copy:
        with named(name):
            dbn.write_csv(opened(), copy, name)
        yield from _of_copy(name, file, copy, container, MAX_NESTING)


def _unpacked(head: bytes) -> bytes | None:
    """Return the first bytes of a gzip file's content, from its own first bytes; None if these do not suffice.

    To open a decompressor for the head alone would take as long as reading a small file does.
    """
    stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        content = stream.decompress(head, HEAD)
    except zlib.error:
        return None
    return content if len(content) == HEAD or (stream.eof and not stream.unused_data) else None


def _filled(stream: Readable, size: int) -> bytes:
    """Return *size* bytes, or fewer at the end: a decompressor may return less than requested."""
    parts: list[bytes] = []
    while size > 0 and (block := bytes(stream.read(size))):
        parts.append(block)
        size -= len(block)
    return b"".join(parts)


def _refuse_strangers(name: str, head: bytes) -> None:
    """Reject a file that is not a table, and name its type."""
    for magic, what, hint in _REFUSED:
        if head.startswith(magic):
            raise DataError(f"{name}: this is {what}, not a table of records", hint=hint, source=name)
    if head[257:262] == b"ustar":
        raise DataError(f"{name}: this is a tar archive", hint="unpack it first", source=name)
    start = head[:512].lstrip(b"\xef\xbb\xbf\r\n\t ").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        raise DataError(
            f"{name}: this is an HTML page, not a table: often a log-in or an error page saved in place of the data",
            hint="open it in a browser to see what it says, and fetch the file again",
            source=name,
        )
    if start.startswith((b"<?xml", b"<flexqueryresponse", b"<xml")):
        raise DataError(f"{name}: this is XML", hint="export the table as CSV", source=name)
    # UTF-16 has a NUL in every other byte.
    # In text, single NULs only reject their rows.
    zeros = head.count(0)
    if zeros > len(head) // 50 + 8 and not head.startswith((b"\xff\xfe", b"\xfe\xff")) and not _is_utf16(head):
        raise DataError(f"{name}: this is binary data of an unknown kind, not a table of records", source=name)


def _is_utf16(head: bytes) -> bool:
    half = len(head) // 2
    return half > 0 and (head[1::2].count(0) > 0.9 * half or head[::2].count(0) > 0.9 * half)


def _without_suffix(file: str) -> str:
    path = Path(file)
    return path.stem if path.suffix.lower() in {".gz", ".gzip", ".zst", ".zstd", ".bz2", ".xz"} else file


def _decompressed(stream: Readable, kind: str) -> Readable:
    if kind in {"gzip", "zstd", "bz2"} and isinstance(stream, pa.NativeFile):
        return _Closing(_Inflated(pa.CompressedInputStream(stream, kind)), stream)
    file: Any = stream
    if kind == "gzip":
        return gzip.GzipFile(fileobj=file)
    if kind == "bz2":
        return bz2.BZ2File(file)
    if kind == "xz":
        return _Closing(lzma.LZMAFile(_as_file(file)), stream)
    return _Closing(_Inflated(pa.CompressedInputStream(pa.PythonFile(file, "r"), kind)), stream)


class _Inflated:
    """The output of a decompressor of Arrow, read into a buffer of ours: a ``read`` that fails keeps what it had set aside for as long as the process lives."""

    def __init__(self, stream: pa.NativeFile) -> None:
        self._stream = stream
        self._buffer = memoryview(bytearray(0))

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        if size > len(self._buffer):
            self._buffer = memoryview(bytearray(size))
        return bytes(self._buffer[: self._stream.readinto(self._buffer[:size])])

    def close(self) -> None:
        self._stream.close()


class _Closing:
    """A stream that closes what it reads from."""

    def __init__(self, stream: Any, below: Readable) -> None:
        self._stream = stream
        self._below = below

    def read(self, size: int = -1, /) -> bytes:
        return bytes(self._stream.read(size))

    def close(self) -> None:
        self._stream.close()
        self._below.close()


class _Bounded:
    """The output of a decompressor, limited relative to its input."""

    def __init__(self, stream: Readable, name: str, size: int) -> None:
        self._stream = stream
        self._name = name
        self._most = max(RATIO_FROM, MAX_RATIO * size)
        self._read = 0

    def read(self, size: int = -1, /) -> bytes:
        data = bytes(self._stream.read(size))
        self._read += len(data)
        if self._read > self._most:
            raise _bomb(self._name, self._most)
        return data

    def close(self) -> None:
        self._stream.close()


def _bomb(name: str, most: int) -> DataError:
    return DataError(
        f"{name}: it unpacks to more than {most:,} bytes, {MAX_RATIO} times its size, too much for a table of records",
        hint="if it is a table nevertheless, unpack it first",
        source=name,
    )


def _as_file(stream: Any) -> Any:
    """Return a stream with the methods that the standard library's readers need."""
    return _Native(stream) if isinstance(stream, (pa.NativeFile, _Closing, _Bounded)) else stream


class _Native(io.RawIOBase):
    """A stream of Arrow's, or of a decompressor, as a file of Python's."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return isinstance(self._stream, pa.NativeFile) and bool(self._stream.seekable())

    def read(self, size: int = -1, /) -> bytes:
        return (
            bytes(self._stream.read(None if size < 0 else size))
            if isinstance(self._stream, pa.NativeFile)
            else bytes(self._stream.read(size))
        )

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())


def _of_zip(
    name: str,
    file: str,
    opened: Callable[[], Readable],
    position: Callable[[], float],
    container: str,
    depth: int,
    size: int,
) -> Iterator[Content]:
    """Yield the tables in a ZIP archive: its members, or the workbook that it is."""
    with contextlib.ExitStack() as stack:
        with named(name):
            stream = opened()
            stack.callback(stream.close)
            whole = _as_file(stream)
            if not whole.seekable():  # within another container: unpacked, for ZIP is read from its end
                unpacked = stack.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(whole, unpacked, 1 << 20)
                unpacked.seek(0)
                whole = unpacked
            archive = stack.enter_context(zipfile.ZipFile(whole))
            members = [info for info in archive.infolist() if not info.is_dir() and not _is_litter(info.filename)]
        if any(info.filename == "xl/workbook.xml" for info in members) or any(
            info.filename == "content.xml" for info in members
        ):
            yield Content(name, file, "excel", "", opened, position, b"PK")
            return
        if not members:
            raise DataError(f"{name}: the archive is empty", source=name)
        if any(info.flag_bits & 1 for info in members):
            raise DataError(f"{name}: the archive is encrypted", hint="unpack it first", source=name)
        if sum(info.file_size for info in members) > max(RATIO_FROM, MAX_RATIO * size):
            raise _bomb(name, max(RATIO_FROM, MAX_RATIO * size))
        if (
            len(members) > MANY_MEMBERS
            and (mean := sum(info.file_size for info in members) // len(members)) < LEAST_BYTES
        ):
            raise DataError(
                f"{name}: the archive has {len(members):,} members of {mean:,} bytes on average, too many for tables of records",
                hint="if they are tables nevertheless, unpack it first, and give the folder",
                source=name,
            )
        for number, info in enumerate(members):
            share = number / len(members)
            yield from _of_stream(
                f"{name}: {info.filename}",
                Path(info.filename).name,
                lambda info=info: archive.open(info),  # type: ignore[misc]
                lambda share=share: share,  # type: ignore[misc]
                container,
                depth + 1,
                size,
            )


def _is_litter(member: str) -> bool:
    """Return whether a member of an archive was added by an operating system, not by a person."""
    return member.startswith("__MACOSX/") or Path(member).name in {".DS_Store", "Thumbs.db", "desktop.ini"}
