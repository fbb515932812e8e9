"""The steps that lead from an empty file to the present schema, and the runner that takes them."""

from fpa_plugins.sqlite.migrations.runner import (
    Migration,
    check_current,
    known_migrations,
    migrate,
    pending_steps,
)

__all__ = ["Migration", "check_current", "known_migrations", "migrate", "pending_steps"]
