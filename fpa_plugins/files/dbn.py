"""Convert Databento's binary format to its CSV with Databento's own library, so that the same formats read both."""

from __future__ import annotations

import contextlib
import importlib
from typing import IO, Any

from fpa_core.exceptions import DataError, MissingDependencyError
from fpa_plugins.files.readable import Readable

__all__ = ["write_csv"]

_BLOCK = 1 << 20


def write_csv(stream: Readable, target: IO[bytes], name: str) -> None:
    """Write the records of a DBN stream to *target* as CSV, with exact prices and times and the symbols that its metadata name.

    :raises MissingDependencyError: if the library is not installed.
    :raises DataError: if the stream is damaged, or has several schemas.
    """
    try:
        library: Any = importlib.import_module("databento_dbn")
    except ImportError:
        raise MissingDependencyError(
            f"{name}: this is a DBN file of Databento, but the library to read it is not installed",
            package="databento-dbn",
            command="pip install 'financial-portfolio-automation[databento]'",
        ) from None
    with contextlib.closing(stream):
        try:
            csv, plain = library.Encoding.CSV, library.Compression.NONE
            transcoder = library.Transcoder(target, csv, plain, pretty_px=True, pretty_ts=True, map_symbols=True)
            while block := bytes(stream.read(_BLOCK)):
                transcoder.write(block)
            transcoder.finish()
        except (library.DBNError, ValueError) as error:
            raise DataError(f"{name}: this is not a complete DBN file: {error}", source=name) from error
