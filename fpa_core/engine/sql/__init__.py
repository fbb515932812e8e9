"""The engine's port for databases that speak SQL: every statement once, over a :class:`~fpa_core.engine.sql.session.Session`."""
