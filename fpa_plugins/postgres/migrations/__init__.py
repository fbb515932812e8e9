"""The steps that lead from an empty schema to the present one, and the runner that takes them."""

from fpa_plugins.postgres.migrations.runner import has_tables, migrate

__all__ = ["has_tables", "migrate"]
