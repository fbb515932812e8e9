"""Patterns of symbols and sources, and how each backend's own language says them.

In a pattern ``*`` stands for any characters, none included, ``?`` for exactly one, and a backslash takes the special meaning from the
character after it. Everything else, brackets too, means itself, because symbols such as ``BRK[B]`` exist. A text without ``*`` and ``?`` is no
pattern: it is taken as it stands, backslashes included.
"""

from __future__ import annotations

import functools
import itertools
import re
import sys
from collections.abc import Callable, Iterator

from fpa_core.exceptions import DataError

__all__ = ["compiled", "escape", "name_of", "start_of", "text_after", "translate"]

_TOKEN = re.compile(r"\\(.)|([*?])|([^\\*?]+)", re.DOTALL)
_SPECIAL = re.compile(r"([*?\\])")
_LAST_BEFORE_SURROGATES, _LAST_SURROGATE = 0xD7FF, 0xDFFF


def escape(name: str) -> str:
    """Return what selects *name* alone, whatever characters it has."""
    return _SPECIAL.sub(r"\\\1", name) if _has_special(name) else name


def name_of(pattern: str) -> str | None:
    """Return the one name that *pattern* stands for; None where it stands for many.

    :raises DataError: for a backslash at the end.
    """
    parts = list(_parts(pattern))
    return None if any(special for special, _ in parts) else "".join(text for _, text in parts)


def start_of(pattern: str) -> str:
    """Return the text with which every name begins that matches *pattern*; an empty one where there is no such."""
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
    """Return *pattern* in another language.

    :param many: what stands there for any characters, and *one* for exactly one.
    :param literal: quotes a text that means itself.
    :raises DataError: for a backslash at the end.
    """
    words = {"*": many, "?": one}
    return "".join(words[text] if special else literal(text) for special, text in _parts(pattern))


def _parts(pattern: str) -> Iterator[tuple[bool, str]]:
    """Yield the parts of a pattern, and whether each is special."""
    if not _has_special(pattern):
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


def _has_special(text: str) -> bool:
    return "*" in text or "?" in text


@functools.lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str]:
    """Return the regular expression whose ``fullmatch`` tells whether a name matches *pattern*."""
    return re.compile(translate(pattern, many=".*", one=".", literal=re.escape), re.DOTALL)
