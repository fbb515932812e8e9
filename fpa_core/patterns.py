"""Patterns of symbols, origins, rule ids and other names, and their translation to the pattern languages of backends.

In a pattern ``*`` matches any number of characters, ``?`` exactly one, and a backslash escapes the character after it. All else, brackets
too, matches itself, because symbols such as ``BRK[B]`` exist. A text without ``*`` and ``?`` is not a pattern and is taken literally,
backslashes included.
"""

from __future__ import annotations

import functools
import itertools
import re
import sys
from collections.abc import Callable, Iterable, Iterator

from fpa_core.exceptions import DataError

__all__ = [
    "compiled",
    "escape",
    "is_pattern",
    "matches",
    "matches_any",
    "name_of",
    "start_of",
    "text_after",
    "translate",
]

_TOKEN = re.compile(r"\\(.)|([*?])|([^\\*?]+)", re.DOTALL)
_SPECIAL = re.compile(r"([*?\\])")
_LAST_BEFORE_SURROGATES, _LAST_SURROGATE = 0xD7FF, 0xDFFF


def is_pattern(text: str) -> bool:
    """Return whether *text* is a pattern rather than a name."""
    return "*" in text or "?" in text


def matches(pattern: str, name: str) -> bool:
    """Return whether *name* matches *pattern*, case-sensitively.

    :raises DataError: if the pattern ends in a backslash.
    """
    return compiled(pattern).fullmatch(name) is not None


def matches_any(patterns: Iterable[str], name: str | None) -> bool:
    """Return whether *name* matches one of *patterns*; no name matches none."""
    return name is not None and any(matches(pattern, name) for pattern in patterns)


def escape(name: str) -> str:
    """Return the pattern that matches only *name*."""
    return _SPECIAL.sub(r"\\\1", name) if is_pattern(name) else name


def name_of(pattern: str) -> str | None:
    """Return the only name that *pattern* matches; None if it has wildcards.

    :raises DataError: if the pattern ends in a backslash.
    """
    parts = list(_parts(pattern))
    return None if any(special for special, _ in parts) else "".join(text for _, text in parts)


def start_of(pattern: str) -> str:
    """Return the literal prefix of all names that match *pattern*; it may be empty."""
    plain = itertools.takewhile(lambda part: not part[0], _parts(pattern))
    return "".join(text for _, text in plain)


def text_after(start: str) -> str | None:
    """Return the first text, by code points, after all those that begin with *start*; None if there is none."""
    for place in reversed(range(len(start))):
        if (code := ord(start[place])) < sys.maxunicode:
            following = code + 1 if code != _LAST_BEFORE_SURROGATES else _LAST_SURROGATE + 1
            return start[:place] + chr(following)
    return None


def translate(pattern: str, *, many: str, one: str, literal: Callable[[str], str]) -> str:
    """Return *pattern* in another pattern language.

    :param many: its wildcard for any number of characters; *one*: that for exactly one.
    :param literal: escapes a literal text.
    :raises DataError: if the pattern ends in a backslash.
    """
    words = {"*": many, "?": one}
    return "".join(words[text] if special else literal(text) for special, text in _parts(pattern))


def _parts(pattern: str) -> Iterator[tuple[bool, str]]:
    """Yield the parts of a pattern, and whether each is special."""
    if not is_pattern(pattern):
        yield False, pattern
        return
    position = 0
    while position < len(pattern):
        token = _TOKEN.match(pattern, position)
        if token is None:
            raise DataError(
                f"the pattern {pattern!r} ends in a backslash", hint="write two to match one", value=pattern
            )
        escaped, special, plain = token.groups()
        yield bool(special), special or escaped or plain
        position = token.end()


@functools.lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str]:
    """Return the regular expression whose ``fullmatch`` matches the names that match *pattern*."""
    return re.compile(translate(pattern, many=".*", one=".", literal=re.escape), re.DOTALL)
