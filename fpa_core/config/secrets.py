"""Text that came from the environment, text that must not be shown, and how to take secrets out of a message."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote

__all__ = ["MASK", "Lexical", "Secret", "hide_credentials", "is_secret_name", "redact"]

MASK = "***"
"""What stands where a secret stood."""


class Lexical(str):
    """Text without a type of its own, from an environment variable: ``5`` is a number where a number is needed."""

    __slots__ = ()


class Secret(Lexical):
    """Text that holds a secret. Drivers use it as any text; its repr, and so that of what contains it, is masked."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{MASK}'"


_CREDENTIAL = r"(?:passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|authorization)"
_CREDENTIAL_NAME = re.compile(_CREDENTIAL, re.IGNORECASE)
# The last @ of the authority ends the password, because people forget to percent-encode an @ in it.
_URL = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/]+(?=@)", re.IGNORECASE)
_PAIR = re.compile(
    rf"""([\w-]*{_CREDENTIAL}[\w-]*['"]?\s*[=:]\s*(?:(?:bearer|basic)\s+)?)("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,;&)}}\]]+)""",
    re.IGNORECASE,
)
_SHORT = 4


def is_secret_name(name: str) -> bool:
    """Tell whether a key of this name holds a secret by its name alone, as ``password`` or ``api_key`` does."""
    return _CREDENTIAL_NAME.search(name) is not None


def hide_credentials(text: str) -> str:
    """Mask what is a credential by its place: ``scheme://user:HERE@host``, ``password=HERE``, ``"api_key": "HERE"``."""
    return _PAIR.sub(rf"\1{MASK}", _URL.sub(rf"\1{MASK}", text))


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Mask the given *secrets*, however they are quoted, and every credential that is one by its place."""
    forms = {form for secret in secrets if secret for form in _forms(str(secret))}
    if forms:
        # The longest first, so that a secret within another leaves no rest of it behind.
        pattern = "|".join(_pattern(form) for form in sorted(forms, key=lambda form: (-len(form), form)))
        text = re.sub(pattern, MASK, text)
    return hide_credentials(text)


def _forms(secret: str) -> set[str]:
    """Return *secret* as it stands in URLs, in JSON, and in a repr, which escapes one sort of quotes or the other."""
    escaped = str.__repr__(secret)[1:-1].replace("\\'", "'")
    urls = {quote(secret), quote(secret, safe="")}
    return {secret, *urls, json.dumps(secret)[1:-1], escaped, escaped.replace("'", "\\'")}


def _pattern(form: str) -> str:
    # Masking each "a" of a message would tell more than it hides, so very short secrets are masked as whole words.
    return rf"(?<!\w){re.escape(form)}(?!\w)" if len(form) < _SHORT else re.escape(form)
