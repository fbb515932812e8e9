"""Origins of values, problems, and the error that reports all problems together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

from attrs import frozen

from fpa_core.config.secrets import MASK, Secret, is_secret_name, redact
from fpa_core.exceptions import ConfigError

__all__ = [
    "DEFAULT",
    "KeyPath",
    "Origin",
    "Problem",
    "closest_match",
    "did_you_mean",
    "display",
    "fail",
    "key_text",
    "one_of",
]

KeyPath = tuple[str | int, ...]
"""The path to a value: keys, and positions in lists."""

_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_LONGEST = 80
_MOST_LISTED = 24


@frozen
class Origin:
    """Where a value came from.

    :ivar kind: the base of the file, an overlay of it, an environment variable, an argument of the program, or the default.
    :ivar key: the path of keys as in the file; that of an overlay begins with ``env.NAME``.
    :ivar secret: whether the value holds a secret, and must not be displayed.
    """

    kind: Literal["file", "overlay", "environment", "argument", "default"] = "default"
    key: str = ""
    file: Path | None = None
    line: int | None = None
    env: str | None = None
    variable: str | None = None
    secret: bool = False

    def __str__(self) -> str:
        if self.kind == "environment":
            return f"environment variable {self.variable}"
        if self.kind in ("argument", "default"):
            return self.kind
        where = self.file.name if self.file else "?"
        where = f"{where}:{self.line}" if self.line else where
        return f"{where} (env {self.env})" if self.kind == "overlay" else where


DEFAULT = Origin()
"""The origin of values that are not set."""


@frozen
class Problem:
    """One problem in the configuration.

    :ivar file: the file, and ``line`` the line of the key in it; None if the value came from elsewhere.
    :ivar key: the path of keys as in the file, or the environment variable.
    :ivar value: the offending value as text, secrets masked; None if a value is missing.
    :ivar expected: what was expected.
    :ivar hint: how to fix it, often the closest known name.
    """

    file: Path | None
    line: int | None
    key: str
    value: str | None
    expected: str
    hint: str | None = None

    def __str__(self) -> str:
        place = "" if self.file is None else f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        setting = self.key if self.value is None else f"{self.key} = {self.value}"
        text = f"{place}{setting + ': ' if setting else ''}{self.expected}"
        return f"{text} ({self.hint})" if self.hint else text


def fail(problems: Sequence[object]) -> NoReturn:
    """Raise one error that lists all *problems*.

    :raises ConfigError: always.
    """
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = "".join(f"\n  {problem}" for problem in problems)
    raise ConfigError(f"the configuration has {count}:{lines}", problems=problems)


def key_text(path: Iterable[str | int], *, inside: bool = False) -> str:
    """Return a path of keys as TOML writes it: ``validator.rules."quote.spread".max_rel``, with positions in brackets.

    :param inside: whether it continues another path.
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += "." if text or inside else ""
            text += part if _BARE.fullmatch(part) else json.dumps(part, ensure_ascii=False)
    return text


def display(value: Any, name: str = "", secrets: Iterable[str] = ()) -> str:
    """Return *value* as text similar to TOML; masked if it is a secret or *name* is that of one, and truncated if long."""
    if isinstance(value, Secret) or is_secret_name(name):
        return MASK
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, str):
        text = f'"{value}"'
    elif isinstance(value, dict):
        text = "{" + ", ".join(f"{key} = {display(item, key)}" for key, item in value.items()) + "}"
    elif isinstance(value, (list, tuple)):
        text = "[" + ", ".join(display(item) for item in value) + "]"
    else:
        text = str(value)
    text = redact(text, secrets).replace("\n", "\\n").replace("\r", "\\r")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def closest_match(word: str, known: Iterable[str]) -> str | None:
    """Return the word of *known* that is closest to *word*; None if none can be meant: at most one letter in three differs."""
    folded = str(word).casefold()[:_LONGEST]
    most = max(1, len(folded) // 3)
    near = [(_edits(folded, name.casefold(), most), name) for name in known if abs(len(name) - len(folded)) <= most]
    edits, name = min(near, key=lambda each: each[0], default=(most + 1, ""))
    return name if edits <= most else None


def _edits(one: str, other: str, most: int) -> int:
    """Return how many letters to insert, drop, replace, or exchange with the next make *other* of *one*; any larger number beyond *most*.

    The optimal string alignment distance.
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        last, before, row = before, row, [i]
        for j, wanted in enumerate(other, 1):
            edits = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                edits = min(edits, last[j - 2] + 1)
            row.append(edits)
        if min(row) > most:
            return most + 1
    return row[-1]


def one_of(known: Iterable[str], *, among: str | None = None) -> str:
    """Return the known words for a message: all of them if they are few, else their number.

    :param among: the command that lists them, for words that may be many.
    """
    words = list(known)
    if len(words) <= _MOST_LISTED:
        return f"one of: {', '.join(words) or 'none'}"
    return f"one of {len(words)} (see `{among}`)" if among else f"one of: {', '.join(words[:_MOST_LISTED])}, ..."


def did_you_mean(word: Any, known: Iterable[str]) -> str | None:
    """Return the closest match as a question; None if there is none, or if *word* is a secret, which a match might reveal."""
    if isinstance(word, Secret):
        return None
    match = closest_match(str(word), known)
    return None if match is None else f"did you mean {match}?"
