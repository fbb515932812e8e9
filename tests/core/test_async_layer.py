"""The data layer for an event loop: the same answers, and the loop is never blocked."""

from __future__ import annotations

import asyncio
import threading
from decimal import Decimal

import pytest

import fpa_core
from fpa_core import Bar, DatabaseError, DataError, Fill, Quote, StaleDataError, Trade
from fpa_core.exceptions import ConfigError

AT_MOST = 60


def quotes(count, symbol="A"):
    return [Quote(symbol, f"2024-05-01T14:{i // 60:02}:{i % 60:02}Z", Decimal(i) / 100, 50) for i in range(count)]


def run(main):
    return asyncio.run(asyncio.wait_for(main, AT_MOST))


def test_writes_and_reads(tmp_path):
    """What is stored is read back, in every form, as by the other layer."""

    async def main():
        async with fpa_core.aopen(tmp_path / "p.db") as data:
            receipt = await data.save(quotes(2_500))
            assert 2_500 == receipt.inserted
            assert 1 == (await data.ingest([Trade("A", "2024-05-01T14:00:00Z", 1, 2)])).inserted
            rows = data.select(Quote, "A")
            assert quotes(2_500) == await rows.to_list() == [quote async for quote in rows]
            assert (2_500, quotes(1)[0]) == (await rows.count(), await rows.first())
            assert 2_500 == (await rows.to_arrow()).num_rows == len(await rows.to_pandas())
            assert [1_000, 1_000, 500] == [batch.num_rows async for batch in rows.batches(1_000)]
            assert 2_500 == await rows.write(tmp_path / "q.parquet")
            assert quotes(2_500)[-1] == await data.latest("A")
            assert quotes(2)[1] == await data.as_of("A", "2024-05-01T14:00:01.5Z")
            assert {"quotes", "trades"} == {entry.kind for entry in await data.inventory()}
            assert [2, 1] == [batch.id for batch in await data.batches()]
            await data.delete(data.select(Quote, "A", end="2024-05-01T14:00:10Z"))
            assert 2_490 == await rows.count()
            await data.undo(3)
            assert 2_500 == await rows.count()
            assert [quotes(2_500)[-1]] == await data.call(data.layer.store.latest, ["A"])
            assert repr(data).startswith("<AsyncDataLayer")
        with fpa_core.open(tmp_path / "p.db") as plain:
            assert quotes(2_500) == plain.select(Quote, "A").to_list()

    run(main())


def test_a_portfolio():
    """What accounts are worth is awaited by its function, and can demand fresh prices as all else."""

    async def main():
        async with fpa_core.aopen(":memory:") as data:
            await data.save([Fill("A", "2024-05-01T14:00:00Z", "buy", 10, 1, "main", "f1"), *quotes(2)])
            positions = data.layer.portfolio.positions
            assert [1] == [holding.quantity for holding in await data.call(positions, "main")]
            with pytest.raises(StaleDataError, match="prices of A"):
                await data.call(positions, "main", max_age="1d")

    run(main())


def test_sql():
    """Queries in SQL are awaited, too."""
    pytest.importorskip("duckdb")

    async def main():
        async with fpa_core.aopen(":memory:") as data:
            await data.save(quotes(100))
            answer = await data.sql("select count(*) as n, max(bid) as high from quotes where symbol = ?", ["A"])
            assert [{"n": 100, "high": Decimal("0.99")}] == await answer.to_list()
            assert 1 == (await answer.to_arrow()).num_rows
            assert [1] == [batch.num_rows async for batch in answer.batches()]
            with pytest.raises(DataError):
                await data.sql("delete from quotes")

    run(main())


def test_streams(tmp_path):
    """A stream is begun, written to and ended on the loop."""

    async def main():
        async with fpa_core.aopen(tmp_path / "p.db") as data:
            async with data.stream(origin="bot") as stream:
                for quote in quotes(20):
                    future = await stream.write(quote)
                await future
            assert 20 == stream.receipt.inserted == await data.select("quotes", "A").count()

    run(main())


def test_nothing_of_the_store_runs_on_the_loop(tmp_path, monkeypatch):
    """Opening, closing and every call touch the database in other threads only."""
    from fpa_plugins.sqlite.database import SqliteDatabase

    loop_thread = threading.get_ident()
    seen: set[int] = set()
    for name in ("reader", "writer", "close", "latest"):
        original = getattr(SqliteDatabase, name)

        def spy(self, *args, original=original, **kwargs):
            seen.add(threading.get_ident())
            return original(self, *args, **kwargs)

        monkeypatch.setattr(SqliteDatabase, name, spy)

    async def main():
        async with fpa_core.aopen(tmp_path / "p.db") as data:
            await data.save(quotes(3))
            await data.ingest(quotes(4))
            rows = data.select(Quote)
            await asyncio.gather(rows.to_list(), rows.count(), rows.first(), rows.to_arrow(), data.latest("A"))
            assert 4 == len([quote async for quote in rows])
            await data.batches()
            await data.inventory()

    run(main())
    assert seen
    assert loop_thread not in seen


def test_the_loop_goes_on_while_a_call_runs():
    """A call that waits for the loop gets what it waits for."""

    async def main():
        async with fpa_core.aopen(":memory:") as data:
            released = threading.Event()
            call = asyncio.create_task(data.call(released.wait, AT_MOST))
            await asyncio.sleep(0)
            released.set()
            assert await call is True

    run(main())


def test_many_at_once():
    """More calls than threads are all answered."""

    async def main():
        async with fpa_core.aopen(":memory:", workers=2) as data:
            await asyncio.gather(*(data.save(quotes(5, symbol=f"S{i}")) for i in range(20)))
            counts = await asyncio.gather(*(data.select("quotes", f"S{i}").count() for i in range(20)))
            assert [5] * 20 == counts

    run(main())


def test_an_iteration_that_is_left_or_cancelled_holds_nothing(tmp_path):
    """Leaving a reading half way lets its snapshot go: the database can be written and closed."""

    async def main():
        async with fpa_core.aopen(tmp_path / "p.db") as data:
            await data.save(quotes(3_500))
            rows = data.select("quotes")
            reading = rows.batches(100)
            async for batch in reading:
                assert 100 == batch.num_rows
                break
            await reading.aclose()

            reads = asyncio.Event()

            async def read():
                async for _ in rows:
                    reads.set()
                    await asyncio.Event().wait()

            task = asyncio.create_task(read())
            await reads.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await data.save(quotes(1, symbol="B"))

    run(main())


def test_cancelled_writes_are_completed(tmp_path):
    """A write whose caller is cancelled ends in its thread; closing waits for it."""

    async def main():
        async with fpa_core.aopen(tmp_path / "p.db") as data:
            began, go_on = threading.Event(), threading.Event()

            def write():
                began.set()
                go_on.wait(AT_MOST)
                return data.layer.store.save(quotes(7))

            task = asyncio.create_task(data.call(write))
            await asyncio.to_thread(began.wait, AT_MOST)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            go_on.set()
        with fpa_core.open(tmp_path / "p.db") as plain:
            assert 7 == plain.select("quotes").count()

    run(main())


def test_errors_and_the_end(tmp_path):
    """Errors are raised where one awaits; a closed layer says so; `await` opens without a block."""

    async def main():
        with pytest.raises(ConfigError):
            async with fpa_core.aopen(config={"store": {"backend": "none"}}):
                pass
        data = await fpa_core.aopen(tmp_path / "p.db", validator__level="strict")
        assert "strict" == data.layer.config.validator.level
        with pytest.raises(DataError):
            await data.ingest(tmp_path / "nowhere.csv")
        with pytest.raises(DataError):
            data.select("quotes", colour="red")
        await data.aclose()
        await data.aclose()
        with pytest.raises(DatabaseError, match="closed"):
            await data.save(quotes(1))
        with pytest.raises(DatabaseError, match="closed"):
            [bar async for bar in data.select(Bar)]

    run(main())


def test_an_opening_that_is_cancelled_leaves_nothing_open(tmp_path, monkeypatch):
    """If the caller is gone when the layer has opened, it is closed."""
    from fpa_core.layer import asynclayer

    began, go_on, closed = threading.Event(), threading.Event(), threading.Event()
    original = asynclayer.open_layer

    def slow(*args, **kwargs):
        began.set()
        go_on.wait(AT_MOST)
        layer = original(*args, **kwargs)
        close = layer.close
        layer.close = lambda: (close(), closed.set())
        return layer

    monkeypatch.setattr(asynclayer, "open_layer", slow)

    async def main():
        task = asyncio.create_task(fpa_core.aopen(tmp_path / "p.db").__aenter__())
        await asyncio.to_thread(began.wait, AT_MOST)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        assert await asyncio.to_thread(closed.wait, AT_MOST)

    run(main())
