"""Where a value came from, what is wrong with it, and the one error that tells all problems together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

from attrs import frozen

from fpa_core.config.secrets import MASK, Secret, is_secret_name, redact
from fpa_core.exceptions import ConfigError

__all__ = ["DEFAULT", "KeyPath", "Origin", "Problem", "did_you_mean", "fail", "key_text", "near", "shown"]

KeyPath = tuple[str | int, ...]
"""The keys, and positions in lists, that lead to a value."""

_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_LONGEST = 80


@frozen
class Origin:
    """Where a value came from.

    :ivar kind: the base of the file, an overlay of it, an environment variable, or nowhere: the default.
    :ivar key: the path of keys as the file writes it, so an overlay's begins with ``env.NAME``.
    :ivar secret: whether the value holds a secret, and is never to be shown.
    """

    kind: Literal["file", "overlay", "environment", "default"] = "default"
    key: str = ""
    file: Path | None = None
    line: int | None = None
    env: str | None = None
    variable: str | None = None
    secret: bool = False

    def __str__(self) -> str:
        if self.kind == "environment":
            return f"environment variable {self.variable}"
        if self.kind == "default":
            return "default"
        where = self.file.name if self.file else "?"
        where = f"{where}:{self.line}" if self.line else where
        return f"{where} (env {self.env})" if self.kind == "overlay" else where


DEFAULT = Origin()
"""The origin of what nobody set."""


@frozen
class Problem:
    """One mistake in the configuration.

    :ivar file: the file, and ``line`` the line of the key in it; None when the value came from elsewhere.
    :ivar key: the path of keys as one would look for it in the file, or the environment variable.
    :ivar value: the offending value as text, secrets masked; None when a value is missing.
    :ivar expected: what would have been right.
    :ivar hint: how to mend it, often the near miss.
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


def fail(problems: Sequence[Problem]) -> NoReturn:
    """Raise one error that lists all *problems*.

    :raises ConfigError: always.
    """
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = "".join(f"\n  {problem}" for problem in problems)
    raise ConfigError(f"the configuration has {count}:{lines}", problems=problems)


def key_text(path: Iterable[str | int], *, inside: bool = False) -> str:
    """Write a path of keys as TOML does: ``validator.rules."quote.spread".max_rel``, with positions in brackets.

    :param inside: whether it goes on from another path.
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += "." if text or inside else ""
            text += part if _BARE.fullmatch(part) else json.dumps(part, ensure_ascii=False)
    return text


def shown(value: Any, name: str = "", secrets: Iterable[str] = ()) -> str:
    """Write *value* for people, about as TOML does; masked when it is a secret or *name* says so, and cut when long."""
    if isinstance(value, Secret) or is_secret_name(name):
        return MASK
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, str):
        text = f'"{value}"'
    elif isinstance(value, dict):
        text = "{" + ", ".join(f"{key} = {shown(item, key)}" for key, item in value.items()) + "}"
    elif isinstance(value, (list, tuple)):
        text = "[" + ", ".join(shown(item) for item in value) + "]"
    else:
        text = str(value)
    text = redact(text, secrets).replace("\n", "\\n").replace("\r", "\\r")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def near(word: str, known: Iterable[str]) -> str | None:
    """Return the one of the *known* words that *word* was most likely meant to be, if any comes close."""
    import difflib

    by_fold = {name.casefold(): name for name in known}
    matches = difflib.get_close_matches(str(word).casefold()[:_LONGEST], by_fold, n=1, cutoff=0.6)
    return by_fold[matches[0]] if matches else None


def did_you_mean(word: Any, known: Iterable[str]) -> str | None:
    """Return the near miss as a question; nothing for a secret, to which a near miss would be a clue."""
    if isinstance(word, Secret):
        return None
    match = near(str(word), known)
    return None if match is None else f"did you mean {match}?"
