"""Find ``fpa.toml``, and the line of each key in a TOML text, which the standard parser does not provide."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from fpa_core.config.problems import KeyPath

__all__ = ["FILE_NAME", "find", "key_lines"]

FILE_NAME = "fpa.toml"

_TOKEN = re.compile(
    r'''(?P<text>"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*')'''
    r"""|(?P<comment>\#[^\n]*)|(?P<newline>\n)|(?P<blank>[ \t\r]+)|(?P<bare>[A-Za-z0-9_-]+)|(?P<mark>.)""",
    re.DOTALL | re.VERBOSE,
)


def find(start: Path | None = None) -> Path | None:
    """Return the ``fpa.toml`` of the folder *start* (the current one when None) or of the nearest folder above it."""
    folder = (start or Path.cwd()).absolute()
    for place in (folder, *folder.parents):
        if (place / FILE_NAME).is_file():
            return place / FILE_NAME
    return None


def key_lines(text: str) -> dict[KeyPath, int]:
    """Return the line, counted from 1, on which each table and key of a valid TOML *text* first appears.

    Keys inside inline tables are on the line of the key that holds them and are not listed.
    """
    lines: dict[KeyPath, int] = {}
    table: tuple[str, ...] = ()
    for number, header, parts in _statements(text):
        if header:
            table = parts
        path = parts if header else (*table, *parts)
        for length in range(1, len(path) + 1):
            lines.setdefault(path[:length], number)
    return lines


def _statements(document: str) -> Iterator[tuple[int, bool, tuple[str, ...]]]:
    """Yield line, whether it is a table header, and the parts of the key, for each statement of *document*."""
    number, depth = 1, 0
    reading, header = True, False
    parts: list[str] = []
    for match in _TOKEN.finditer(document):
        kind, text = match.lastgroup, match[0]
        if kind == "newline" and not depth:
            reading, header, parts = True, False, []
        elif kind in ("text", "bare") and reading:
            parts.append(_key(text) if kind == "text" else text)
        elif kind == "mark" and reading and text == "[":
            header = True
        elif kind == "mark" and reading and text in "]=" and parts:
            yield number, header, tuple(parts)
            reading = False
        elif kind == "mark" and not reading and not header:
            depth += (text in "[{") - (text in "]}")
        number += text.count("\n")


def _key(quoted: str) -> str:
    return str(tomllib.loads(f"key = {quoted}")["key"])
