"""Ask in SQL: all kinds as tables of DuckDB, which reads them where they are stored, and only what a query needs of them."""

from fpa_core.sql.answer import SqlAnswer

__all__ = ["SqlAnswer"]
