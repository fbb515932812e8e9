"""Strings from the environment, secret strings, and redaction of secrets in messages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

__all__ = ["MASK", "EnvString", "Secret", "SecretPath", "hide_credentials", "is_secret_name", "redact"]

MASK = "***"
"""The replacement of a secret."""


class EnvString(str):
    """An untyped string from an environment variable: ``5`` is converted to a number if a number is expected."""

    __slots__ = ()


class Secret(EnvString):
    """A string that holds a secret. It can be used as any string, but its repr is masked."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{MASK}'"


class SecretPath(type(Path())):  # type: ignore[misc]  # the path of this system
    """A path of which a part came from a secret; its repr is masked, and so is that of any path made of it."""

    def __repr__(self) -> str:
        return f"Path('{MASK}')"


_CREDENTIAL = r"(?:passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|signing[_-]?key|authorization)"
_CREDENTIAL_NAME = re.compile(_CREDENTIAL, re.IGNORECASE)
# The password ends at the last @ of the authority, because an @ in it is often not percent-encoded.
_URL = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/]+(?=@)", re.IGNORECASE)
_PAIR = re.compile(
    rf"""([\w-]*{_CREDENTIAL}[\w-]*['"]?\s*[=:]\s*(?:(?:bearer|basic)\s+)?)("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,;&)}}\]]+)""",
    re.IGNORECASE,
)
_SHORT = 4


def is_secret_name(name: str) -> bool:
    """Return whether the name of a key indicates a secret, as ``password`` or ``api_key`` does."""
    return _CREDENTIAL_NAME.search(name) is not None


def hide_credentials(text: str) -> str:
    """Mask credentials recognised by their context: ``scheme://user:HERE@host``, ``password=HERE``, ``"api_key": "HERE"``."""
    return _PAIR.sub(rf"\1{MASK}", _URL.sub(rf"\1{MASK}", text))


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Mask the given *secrets*, however they are quoted, and every credential recognised by its context."""
    forms = {form for secret in secrets if secret for form in _forms(str(secret))}
    if forms:
        # The longest first, so that a secret contained in another one leaves no remainder.
        pattern = "|".join(_pattern(form) for form in sorted(forms, key=lambda form: (-len(form), form)))
        text = re.sub(pattern, MASK, text)
    return hide_credentials(text)


def _forms(secret: str) -> set[str]:
    """Return *secret* as written in URLs, in JSON, and in a repr, which escapes either kind of quote."""
    escaped = str.__repr__(secret)[1:-1].replace("\\'", "'")
    urls = {quote(secret), quote(secret, safe="")}
    return {secret, *urls, json.dumps(secret)[1:-1], escaped, escaped.replace("'", "\\'")}


def _pattern(form: str) -> str:
    # Masking each "a" of a message would reveal more than it hides, so very short secrets are masked as whole words only.
    return rf"(?<!\w){re.escape(form)}(?!\w)" if len(form) < _SHORT else re.escape(form)
