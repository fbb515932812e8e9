"""SQLAlchemy Core on SQLite, as one would write it by hand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from systems.system import System

__all__ = ["Alchemy"]


class Alchemy(System):
    """A table with an index on symbol and time, prices as Numeric."""

    title = "SQLAlchemy Core"
    durable = "SQLite in WAL mode with synchronous=FULL: fsync at each commit"
    lacks = "takes rows, not Arrow; on SQLite its Numeric passes through binary floats; no key: the same rows again are doubled"

    def open(self, folder: Path) -> None:
        self.engine = sa.create_engine(f"sqlite:///{folder / 'core.db'}")
        sa.event.listen(self.engine, "connect", _durable)
        kinds = {"symbol": sa.Text, "timestamp": sa.BigInteger}
        metadata = sa.MetaData()
        columns = [sa.Column(name, self._type(name, kinds)) for name in self.rows.table.schema.names]
        self.table = sa.Table("t", metadata, *columns, sa.Index("by_time", "symbol", "timestamp"))
        metadata.create_all(self.engine)

    def _type(self, name: str, kinds: dict[str, Any]) -> Any:
        return sa.Numeric(18, self.rows.scales[name]) if name in self.rows.scales else kinds.get(name, sa.Text)

    def make_input(self) -> list[dict[str, Any]]:
        columns: dict[str, list[Any]] = {}
        for name in self.rows.table.schema.names:
            values = self.rows.table.column(name)
            if name == "timestamp":
                columns[name] = values.cast(pa.int64()).to_pylist()
            elif name in self.rows.scales:
                known: dict[int | None, Decimal | None] = {
                    one: None if one is None else Decimal(one).scaleb(-self.rows.scales[name])
                    for one in values.unique().to_pylist()
                }
                columns[name] = [known[one] for one in values.to_pylist()]
            else:
                columns[name] = values.to_pylist()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def write(self, given: list[dict[str, Any]]) -> None:
        with self.engine.begin() as connection:
            connection.execute(self.table.insert(), given)

    def close(self) -> None:
        with self.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        self.engine.dispose()

    def count(self) -> int:
        with self.engine.connect() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(self.table)).scalar_one()

    def records(self, symbol: str, start_ns: int, end_ns: int) -> Sequence[Any]:
        c = self.table.c
        chosen = sa.select(self.table).where(c.symbol == symbol, c.timestamp >= start_ns, c.timestamp < end_ns)
        with self.engine.connect() as connection:
            return connection.execute(chosen.order_by(c.timestamp)).all()

    def columns(self, symbol: str, start_ns: int, end_ns: int) -> Any:
        return _turned(self.records(symbol, start_ns, end_ns))

    def scan(self) -> int:
        with self.engine.connect() as connection:
            return len(_turned(connection.execute(sa.select(self.table)).all()))

    def latest(self, symbol: str) -> Any:
        c = self.table.c
        with self.engine.connect() as connection:
            return connection.execute(
                sa.select(self.table).where(c.symbol == symbol).order_by(c.timestamp.desc()).limit(1)
            ).first()

    def make_single(self, count: int) -> Sequence[Any]:
        return type(self)(self.rows.first(count)).make_input()

    def live(self, singles: Sequence[Any], deadline: float) -> int:
        with self.engine.connect() as connection:
            for done, row in enumerate(singles, 1):
                connection.execute(self.table.insert(), row)
                connection.commit()
                if time.perf_counter() > deadline:
                    return done
        return len(singles)


def _turned(rows: Sequence[Any]) -> Sequence[Any]:
    """Turn rows into columns and return one."""
    columns = list(zip(*rows, strict=True))
    return columns[0]


def _durable(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
