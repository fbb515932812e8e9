"""Cache keys made of parts, and the pattern syntax, which is the same on every backend.

In a pattern ``*`` matches any number of characters, ``?`` exactly one, and a backslash escapes the character after it. All else, brackets
too, matches itself, because symbols such as ``BRK[B]`` exist.
"""

from __future__ import annotations

import re
import zlib

from fpa_core.exceptions import CacheError

__all__ = ["EVERYTHING", "SEPARATOR", "Pattern", "escape", "fence_for", "fences_of", "make_key"]

SEPARATOR = ":"
"""Separates the namespace, which may not contain it, from the key."""

EVERYTHING = "\0*"
"""The reserved tag whose generation changes when many keys are removed at once."""

_FENCES = 1024
_SPECIAL = re.compile(r"([*?\\])")
_TOKEN = re.compile(r"\\(.)|([*?])|([^\\*?]+)", re.DOTALL)


def make_key(*parts: object) -> str:
    """Join *parts* to a key; different parts never give the same key."""
    return SEPARATOR.join(str(part).replace("%", "%25").replace(SEPARATOR, "%3A") for part in parts)


def escape(text: str) -> str:
    """Return the pattern that matches *text* and nothing else."""
    return _SPECIAL.sub(r"\\\1", text)


def fence_for(key: str) -> str:
    """Return the reserved tag whose generation changes when *key* is deleted.

    Keys share a fixed number of tags, so that deletions leave no data behind. A collision only means that a loaded value is not stored.
    """
    return f"\0{zlib.crc32(key.encode(errors='surrogatepass')) % _FENCES}"


def fences_of(full: str) -> list[str]:
    """Return the reserved tags that change when *full*, a key with its namespace, is removed: its own and that of the namespace."""
    prefix = full[: full.index(SEPARATOR) + 1]
    return [prefix + fence_for(full), prefix + EVERYTHING]


class Pattern:
    """A compiled pattern.

    :ivar prefix: the literal text every match begins with.
    :raises CacheError: if the pattern is no text, or ends in a backslash.
    """

    def __init__(self, pattern: str) -> None:
        if not isinstance(pattern, str):
            raise CacheError(f"a pattern is a text, not {pattern!r}")
        literal: list[str] = []
        regex: list[str] = []
        wild = False
        position = 0
        while position < len(pattern):
            token = _TOKEN.match(pattern, position)
            if token is None:
                raise CacheError(f"the pattern {pattern!r} ends in a backslash", hint="write two to match one")
            escaped, special, plain = token.groups()
            if special:
                wild = True
                regex.append("." if special == "?" else ".*")
            else:
                text = escaped or plain
                regex.append(re.escape(text))
                if not wild:
                    literal.append(text)
            position = token.end()
        self.prefix = "".join(literal)
        self._matches = re.compile("".join(regex), re.DOTALL).fullmatch

    def matches(self, key: str) -> bool:
        """Return whether the whole *key* matches."""
        return self._matches(key) is not None
