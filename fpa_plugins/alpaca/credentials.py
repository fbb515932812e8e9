"""The key and the secret: where they come from, and that they are not shown."""

from __future__ import annotations

import os
from collections.abc import Mapping

from attrs import field, frozen

from fpa_core.config import redact
from fpa_core.exceptions import ConfigError, MissingDependencyError
from fpa_plugins.alpaca.options import AlpacaOptions

__all__ = ["Credentials", "find_credentials"]

_VARIABLES = {"api_key": "APCA_API_KEY_ID", "secret_key": "APCA_API_SECRET_KEY"}


@frozen
class Credentials:
    """A key and its secret. Neither is part of the repr."""

    api_key: str = field(repr=False)
    secret_key: str = field(repr=False)

    def mask(self, text: str) -> str:
        """Return what a server said without the key and the secret, should it repeat them."""
        return redact(text, frozenset({self.api_key, self.secret_key}))


def find_credentials(options: AlpacaOptions, environ: Mapping[str, str] | None = None) -> Credentials:
    """Return the credentials: those of the options, else of the keyring, else of the environment.

    :raises ConfigError: if there are none.
    :raises MissingDependencyError: if a keyring is configured, and its package is not installed.
    """
    environ = os.environ if environ is None else environ
    found: dict[str, str] = {}
    for name, variable in _VARIABLES.items():
        value = getattr(options, name)
        if value is None and options.keyring is not None:
            value = _from_keyring(options.keyring, name)
        value = value or environ.get(variable)
        if not value:
            raise ConfigError(
                f"sources.alpaca: there is no {name}",
                hint=f'set the variable {variable}, or {name} = "${{NAME}}" in [sources.alpaca], or keyring = "SERVICE"',
            )
        found[name] = value.strip()
    return Credentials(**found)


def _from_keyring(service: str, name: str) -> str | None:
    try:
        import keyring
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "sources.alpaca.keyring needs the package keyring, which is not installed",
            plugin="alpaca",
            package="keyring",
            command="pip install keyring",
        ) from error
    from keyring.errors import KeyringError

    try:
        found: str | None = keyring.get_password(service, name)
    except KeyringError as error:
        raise ConfigError(f"the keyring cannot be read: {type(error).__name__}", hint="unlock it") from None
    return found
