"""The steps that lead from an empty file to the present schema, and the runner that takes them."""

from fpa_plugins.sqlite.migrations.runner import Migration, known_migrations, migrate

__all__ = ["Migration", "known_migrations", "migrate"]
