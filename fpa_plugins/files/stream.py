"""The text of a file, in UTF-8 and in blocks of whole lines."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from fpa_core.exceptions import DataError
from fpa_plugins.files.containers import Content, named

__all__ = ["MAX_LINE", "Stream", "decoded_head", "encoding_of"]

MAX_LINE = 16 * 1024 * 1024
"""Longest line that is looked for the end of; it bounds the memory that a file without line ends can take."""

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def encoding_of(head: bytes, said: str | None, source: str) -> str:
    """Return the encoding of a text: detected by its byte order mark or the zeros of UTF-16, else the given one, or UTF-8.

    :raises DataError: if the given encoding is unknown.
    """
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    if said is not None:
        try:
            return codecs.lookup(said).name
        except LookupError:
            raise DataError(
                f"{source}: {said!r} is not an encoding",
                hint="use for example utf-8, latin-1, cp1252 or gbk",
                source=source,
            ) from None
    if b"\x00" in head[:2]:
        return "utf-16-be" if head[0] == 0 else "utf-16-le"
    return "utf-8"


def decoded_head(head: bytes, encoding: str) -> str:
    """Return the beginning of a text. The last character may be cut off; invalid bytes become surrogates."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogateescape" if encoding.startswith("utf-8") else "replace")
    return decoder.decode(head)


class Stream:
    """A text opened for reading; a context manager.

    :param encoding: the encoding of the text; the output is UTF-8.
    :raises DataError: here and on reading, if the bytes cannot be read.
    """

    def __init__(self, content: Content, encoding: str = "utf-8") -> None:
        self.name = content.name
        self._content = content
        with named(self.name):
            self._stream = content.opened()
        self._decoder = None if encoding in {"utf-8", "utf-8-sig"} else codecs.getincrementaldecoder(encoding)()
        self._encoding = encoding
        self._began = False

    @property
    def progress(self) -> float:
        """How much of the file, as it lies on the disk, has been read."""
        return self._content.position()

    def lines(self, size: int) -> Iterator[bytes]:
        """Yield the content in blocks of about *size* bytes that end where a line ends; the last one has the last line, ended or not."""
        whole = b""
        rest: list[bytes] = []
        held = 0
        while data := self._read(size):
            # Only a file that has no line feeds can end its lines with carriage returns; one at the very end may be half of a pair.
            cut = data.rfind(b"\n") + 1 or data.rfind(b"\r", 0, -1) + 1
            if cut:
                if whole:
                    yield whole
                # Blocks are large: copied once, not twice, and not at all if one ends where a line ends.
                whole = b"".join((*rest, data if cut == len(data) else memoryview(data)[:cut]))
                rest, held = [data[cut:]] if cut < len(data) else [], len(data) - cut
                continue
            rest.append(data)
            held += len(data)
            if held > MAX_LINE:
                raise DataError(
                    f"{self.name}: a line is longer than {MAX_LINE:,} bytes, so this is not a table of records",
                    source=self.name,
                )
        if whole or held:
            yield b"".join((whole, *rest))

    def blocks(self, size: int) -> Iterator[bytes]:
        """Yield the content in blocks of about *size* bytes, which may end anywhere."""
        while data := self._read(size):
            yield data

    def _read(self, size: int) -> bytes:
        with named(self.name):
            data = bytes(self._stream.read(size))
        if not self._began:
            self._began = True
            data = data.removeprefix(codecs.BOM_UTF8)
        if self._decoder is None:
            return data
        try:
            # An empty result is the end only when there was nothing to decode.
            while not (text := self._decoder.decode(data, final=not data)) and data:
                with named(self.name):
                    data = bytes(self._stream.read(size))
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self.name}: the text is not {self._encoding}: {error.reason} at byte {error.start}",
                hint="give the encoding with --encoding, such as latin-1",
                source=self.name,
            ) from error
        return text.encode("utf-8", "surrogatepass")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
