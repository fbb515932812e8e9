r"""Showing texts that come from outside: what a terminal or a line-based log would obey is escaped, everything else is kept.

Files, databases, configurations and file names may hold escape sequences, line breaks, or marks that reorder what a person reads (CWE-150).
Errors and records keep such texts as they are, for programs; they pass through here when they are written for people.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

__all__ = ["displayed", "displayed_error", "json_safe", "json_text", "value_text"]

_ESCAPED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of Unicode that are escaped: controls, formats (bidi and zero-width marks, tags), surrogates, line and paragraph separators."""

_VISIBLE_FORMATS = re.compile("[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]")
"""Characters of the category Cf that have a glyph of their own, such as the Arabic number sign."""


def displayed(text: str, *, keep: str = "") -> str:
    r"""Return *text* with control, bidi and zero-width characters, line separators and lone surrogates escaped as in Python: ``\x1b``.

    A backslash is kept as it is, so that paths stay readable.

    :param keep: characters that are not escaped, as a line feed in a text of several lines of our own.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char in keep or not _is_escaped(char) else char.encode("unicode_escape").decode() for char in text
    )


def displayed_error(error: BaseException) -> str:
    """Return the text of an error: one line, its hint on a second one, and a line for each of its ``problems``.

    A line break that data brought into any of them is escaped.
    """
    message = str(getattr(error, "message", error))
    problems = [str(problem) for problem in getattr(error, "problems", ())]
    if problems:
        for problem in sorted(filter(lambda each: not each.isprintable(), problems), key=len, reverse=True):
            message = message.replace(problem, displayed(problem))
        message = displayed(message, keep="\n")
    else:
        message = displayed(message)
    hint = getattr(error, "hint", None)
    return f"{message}\n  hint: {displayed(str(hint))}" if hint else message


def value_text(value: Any) -> str:
    """Return a value of the configuration as text without Python syntax."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {value_text(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(value_text, value)) + "]"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Return *value* as JSON whose characters are safe to display; it means the same to every parser."""
    return json_safe(json.dumps(value, indent=indent, ensure_ascii=False, default=str))


def json_safe(text: str) -> str:
    r"""Return JSON with the unsafe characters inside its strings as ``\uXXXX``; line feeds, which stand between its tokens, are kept."""
    if text.isprintable():
        return text
    return "".join(
        char if char == "\n" or not _is_escaped(char) else json.dumps(char, ensure_ascii=True)[1:-1] for char in text
    )


def _is_escaped(char: str) -> bool:
    return (
        not char.isprintable() and unicodedata.category(char) in _ESCAPED and _VISIBLE_FORMATS.fullmatch(char) is None
    )
