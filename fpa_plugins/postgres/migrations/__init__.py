"""The steps that lead from an empty schema to the present one, and the runner that takes them."""

from fpa_plugins.postgres.migrations.runner import migrate, missing_schema

__all__ = ["migrate", "missing_schema"]
