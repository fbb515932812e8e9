"""C4: rejected records are kept as often as the fullest batch had them, and can be brought into the tables."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from attrs import define, evolve, field
from hypothesis import strategies as st

from fpa_core.arrow.conversion import to_table
from fpa_core.kinds import BARS, QUOTES, TRADES
from fpa_core.models import Bar, Quote, Trade
from fpa_core.numbers import Instant
from fpa_core.protocols import Capability, QuarantineCount, Quarantined, QuarantineQuery
from fpa_core.serialization import to_dict
from fpa_core.store import DataStore
from fpa_core.testing.contracts import Contract, holds
from fpa_core.testing.store.base import Fresh, StoreTests, law
from fpa_core.testing.store.multisets import few_quotes

__all__ = ["QuarantineTests"]


def _rejected(text: str, number: int | None, **changes: Any) -> Quarantined:
    """Return a rejected row of a file."""
    findings = ({"rule": "format", "message": f"price: {text!r} in row {number} at 1.5", "observed": [1.5, None]},)
    cells = None if not text else dict(zip("xyz", text.split(","), strict=False)) | {"note": text[:1]}
    return evolve(Quarantined("trades", None, None, number, text, findings, cells=cells), **changes)


@define
class _Model:
    """What the quarantine holds, as a plain list: text, batch, and whether the batch was undone."""

    rows: list[list[Any]] = field(factory=list)

    def add(self, batch: int, texts: list[str]) -> list[str]:
        earlier = Counter(text for text, _, undone in self.rows if not undone)
        kept = list((Counter(texts) - earlier).elements())
        self.rows.extend([text, batch, False] for text in kept)
        return kept


texts = st.lists(st.sampled_from(["", ",,", "A,x", "A;1'2", "é|\\'"]), max_size=12)


class QuarantineTests(StoreTests):
    """Nothing that was rejected is lost or doubled."""

    @holds(Contract.C4)
    def test_a_rejected_record_is_kept_as_it_came(self, store: DataStore) -> None:
        """A rejected record is kept with its findings, its position and its batch."""
        finding = {"rule": "bar.range", "severity": "error", "message": "high below low"}
        rejected = [
            Quarantined("bars", "A", 5, 3, '{"symbol": "A"}', (finding,)),
            Quarantined("quotes", None, None, 4, 'x,"y"\nz', (finding, finding), cells={"bid": "x", "ask": "'"}),
        ]
        with store.batch() as batch:
            assert len(batch.quarantine(rejected)) == 2
        found = list(store.iter_quarantined(in_order=True))
        assert [evolve(each, id=one.id, batch=batch.id) for each, one in zip(rejected, found, strict=True)] == found
        assert len({one.id for one in found} - {0}) == 2
        assert (batch.receipt.quarantined, store.batches()[0].quarantined) == (2, 2)
        assert store.quarantined(batch=batch.id + 1) == []

    @holds(Contract.C4)
    def test_equal_rejected_rows_are_counted(self, store: DataStore) -> None:
        """Equal rejected rows are kept as often as the fullest batch had them, wherever they stood in their file."""
        for copies, kept in ((2, 2), (2, 0), (3, 1), (1, 0)):
            with store.batch() as batch:
                news = batch.quarantine([_rejected("A,x", 10 * copies + number) for number in range(copies)])
            assert (kept, kept, copies - kept) == (len(news), batch.receipt.quarantined, batch.receipt.duplicate)
        assert 3 == len(store.quarantined()) == store.count_quarantined()

    @holds(Contract.C4, Capability.UNDO)
    @law(st.lists(st.tuples(texts, st.integers(1, 4), st.booleans(), st.booleans()), max_size=5))
    def test_the_quarantine_against_a_plain_list(
        self, fresh: Fresh, batches: list[tuple[list[str], int, bool, bool]]
    ) -> None:
        """However rejected rows are cut into calls and groups, come again and are undone, as many are kept as the fullest batch had."""
        model = _Model()
        with fresh() as store:
            for given, size, in_groups, undone in batches:
                records = [_rejected(text, number) for number, text in enumerate(given, 1)]
                parts = [records[start : start + size] for start in range(0, len(records), size)]
                kept: list[Quarantined] = []
                if in_groups:
                    stream = store.backend.stream(origin="x")
                    for part in parts:
                        with stream.group() as group:
                            kept += group.quarantine(part)
                    stream.close()
                    number = stream.batch_id
                else:
                    with store.backend.transaction(origin="x") as transaction:
                        for part in parts:
                            kept += transaction.quarantine(part)
                    number = transaction.batch_id
                assert Counter(model.add(number, given)) == Counter(one.raw for one in kept)
                if undone:
                    store.undo(number)
                    for row in model.rows:
                        row[2] = row[2] or row[1] == number
                found = list(store.backend.quarantined(QuarantineQuery()))
                assert Counter((text, of, "undone" if gone else "open") for text, of, gone in model.rows) == Counter(
                    (one.raw, one.batch, one.state) for one in found
                )
                for one in found:
                    expected = _rejected(one.raw, one.row)
                    assert (expected.cells, expected.findings) == (one.cells, one.findings)

    @holds(Contract.C4)
    def test_a_record_without_a_position_comes_first(self, store: DataStore) -> None:
        """In order, rejected records of one batch and kind go by their position in the source, those without one first."""
        with store.batch() as batch:
            batch.quarantine([_rejected(text, row) for text, row in (("c", 7), ("a", None), ("d", 9), ("b", None))])
        assert ["a", "b", "c", "d"] == [one.raw for one in store.iter_quarantined(in_order=True)]

    @holds(Contract.C4)
    def test_rejected_records_can_be_selected(self, store: DataStore) -> None:
        """Rejected records are found by batch, id, kind, symbol, rule, origin and state, latest first or in order; they are counted alike."""
        with store.batch(origin="files:one") as first:
            first.quarantine([_rejected("a", 2, subject="BRK[B]"), _rejected("b", 1, kind="quotes", subject="BRKB")])
        with store.batch(origin="live") as second:
            second.quarantine([_rejected("c", 1, subject="A", findings=({"rule": "trade.price", "message": ""},))])
        assert [one.raw for one in store.iter_quarantined(in_order=True)] == ["b", "a", "c"]
        assert {"a", "b"} == {one.raw for one in store.quarantined()[1:]}
        ids = {one.raw: one.id for one in store.quarantined()}
        conditions: list[tuple[dict[str, Any], str]] = [
            ({"batch": first.id}, "ab"),
            ({"id": [ids["a"], ids["c"]]}, "ac"),
            ({"id": []}, ""),
            ({"kind": "quotes"}, "b"),
            ({"symbol": "BRK[B]"}, "a"),
            ({"symbol": "BRK*"}, "ab"),
            ({"symbol": ["A", "BRKB"]}, "bc"),
            ({"rule": "format"}, "ab"),
            ({"rule": "trade.*"}, "c"),
            ({"origin": "files:*"}, "ab"),
            ({"state": "open"}, "abc"),
            ({"state": ["discarded", "undone"]}, ""),
            ({"kind": "trades", "origin": "live"}, "c"),
        ]
        for condition, expected in conditions:
            assert expected == "".join(sorted(one.raw for one in store.quarantined(**condition))), condition
            assert len(expected) == store.count_quarantined(**condition), condition
        assert [one.raw for one in store.quarantined(limit=1)] == ["c"]
        assert [
            QuarantineCount(first.id, "quotes", "open", 1),
            QuarantineCount(first.id, "trades", "open", 1),
            QuarantineCount(second.id, "trades", "open", 1),
        ] == list(store.backend.count_quarantined(QuarantineQuery(limit=1)))

    @holds(Contract.C4)
    def test_discarded_records_stay(self, store: DataStore) -> None:
        """Discarding marks open records and keeps them; they are not stored again when they are delivered again."""
        with store.batch() as batch:
            batch.quarantine([_rejected("a", 1), _rejected("b", 2)])
        discarded = store.discard_quarantined(id=store.quarantined()[0].id)
        assert Counter(["open", "discarded"]) == Counter(str(one.state) for one in store.quarantined())
        assert [discarded.batch] == [one.changed_by for one in store.quarantined(state="discarded")]
        with store.batch() as again:
            assert list(again.quarantine([_rejected("a", 1), _rejected("b", 2)])) == []

    @holds(Contract.C4, Capability.UNDO)
    def test_undo_of_a_discard_reopens(self, store: DataStore) -> None:
        """Undoing the batch that discarded records reopens them, and undoing the batch that rejected them marks them as undone."""
        with store.batch() as batch:
            batch.quarantine([_rejected("a", 1), _rejected("b", 2)])
        store.undo(store.discard_quarantined(batch=batch.id).batch)
        assert [one.state for one in store.quarantined()] == ["open", "open"]
        store.undo(batch.id)
        assert [one.state for one in store.quarantined()] == ["undone", "undone"]

    @holds(Contract.C4)
    @law(st.lists(st.tuples(few_quotes, st.booleans()), max_size=12), st.integers(1, 4))
    def test_a_replay_is_as_if_nothing_had_been_rejected(
        self, fresh: Fresh, rows: list[tuple[Quote, bool]], size: int
    ) -> None:
        """Rows that were rejected and replayed are, with those that were not, what the batch would have brought without rules."""
        good, bad = ([row for row, rejected in rows if rejected is which] for which in (False, True))
        with fresh() as store:
            with store.batch(origin="files:one") as batch:
                batch.write(QUOTES, to_table(QUOTES, good))
                batch.quarantine(
                    [_rejected(json.dumps(to_dict(row)), number, kind="quotes") for number, row in enumerate(bad)]
                )
            ids = [one.id for one in store.iter_quarantined(in_order=True)]
            for start in range(0, len(bad), size):
                with store.batch(replays=batch.id) as replay:
                    part = bad[start : start + size]
                    counts = replay.replay(QUOTES, to_table(QUOTES, part), ids[start : start + size])
                    assert (len(part), 0) == (counts.inserted, counts.duplicate)
                assert batch.id == store.batches()[0].replays
            assert Counter(row for row, _ in rows) == Counter(store.get_quotes())
            assert {"replayed"} >= {str(one.state) for one in store.quarantined()}
            with store.batch() as again:
                again.write(QUOTES, to_table(QUOTES, [row for row, _ in rows]))
            assert again.receipt.inserted == 0

    @holds(Contract.C4)
    def test_a_replayed_row_stands_beside_equal_ones(self, store: DataStore) -> None:
        """A replayed row is one more than those equal to it that its batch brought, not one of them."""
        row = Quote("A", Instant(1), 1, 2)
        with store.batch() as first:
            first.write(QUOTES, to_table(QUOTES, [row, row]))
            first.quarantine([_rejected("quote", 3, kind="quotes")])
        (rejected,) = store.quarantined()
        with store.batch(replays=first.id) as replay:
            replay.replay(QUOTES, to_table(QUOTES, [row]), [rejected.id])
        assert [row] * 3 == store.get_quotes()
        assert (1, first.id) == (store.batches()[0].inserted, store.batches()[0].replays)
        assert store.save([row] * 3).inserted == 0

    @holds(Contract.C4)
    def test_a_replayed_row_is_recognised_in_an_earlier_batch(self, store: DataStore) -> None:
        """Rows that an earlier batch brought too are kept as often as the fuller of the two had them, once they are replayed."""
        row = Quote("A", Instant(1), 1, 2)
        store.save([row, row])
        with store.batch() as batch:
            batch.write(QUOTES, to_table(QUOTES, [row]))
            quotes = [_rejected("quote", number, kind="quotes") for number in (2, 3)]
            batch.quarantine([evolve(one, subject="A", ts_ns=1) for one in quotes])
        for rejected in store.iter_quarantined(in_order=True, state="open"):
            with store.batch(replays=batch.id) as replay:
                replay.replay(QUOTES, to_table(QUOTES, [row]), [rejected.id])
        assert [row] * 3 == store.get_quotes()

    @holds(Contract.C4, Capability.UNDO)
    def test_undo_gives_back_what_a_rejected_record_was_before(self, store: DataStore) -> None:
        """A record that one batch changed twice gets back the findings it had before the first time."""
        with store.batch() as batch:
            batch.quarantine([_rejected("bar", 3, kind="bars")])
        (kept,) = store.quarantined()
        with store.backend.transaction(origin="judge") as transaction:
            transaction.reject_again([evolve(kept, findings=({"rule": "second"},))])
            assert 1 == transaction.discard(QuarantineQuery(ids=(kept.id,)))
        store.undo(transaction.batch_id)
        assert [("open", kept.findings)] == [(one.state, one.findings) for one in store.quarantined()]

    @holds(Contract.C4, Capability.UNDO)
    def test_undoing_a_discard_again_and_again(self, store: DataStore) -> None:
        """A record is discarded if the batch that discarded it counts, however often that was undone and the undo undone."""
        with store.batch() as batch:
            batch.quarantine([_rejected("a", 1)])
        discarded = store.discard_quarantined(batch=batch.id).batch
        for _ in range(2):
            undone = store.undo(discarded).batch
            assert ["open"] == [one.state for one in store.quarantined()]
            store.undo(undone)
            assert ["discarded"] == [one.state for one in store.quarantined()]
        undone = store.undo(batch.id).batch
        assert ["undone"] == [one.state for one in store.quarantined()]
        store.undo(undone)
        assert ["discarded"] == [one.state for one in store.quarantined()]

    @holds(Contract.C4, Capability.UNDO)
    @law(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=12), cost=2)
    def test_a_record_is_what_the_last_batch_that_counts_made_it(
        self, fresh: Fresh, steps: list[tuple[int, int]]
    ) -> None:
        """Whatever is judged again, discarded and undone in any order, a record has the state that the last batch that counts gave it."""
        with fresh() as store:
            with store.batch() as batch:
                batch.quarantine([_rejected("a", 1)])
            (record,) = store.quarantined()
            given: dict[int, tuple[str, Any]] = {batch.id: ("open", record.findings)}
            undone: dict[int, int] = {}
            undoes: dict[int, int] = {}

            def flip(target: int, by: int | None) -> None:
                undone.pop(target, None)
                if by is not None:
                    undone[target] = by
                if target in undoes:
                    flip(undoes[target], target if by is None else None)

            for what, which in steps:
                (now,) = store.quarantined()
                if what < 2 and now.state == "open":
                    with store.batch() as judged:
                        if what:
                            judged.discard(QuarantineQuery(ids=(record.id,)))
                        else:
                            judged.reject_again([evolve(now, findings=({"rule": f"rule.{judged.id}"},))])
                    (now,) = store.quarantined()
                    given[judged.id] = (str(now.state), now.findings)
                elif what == 2 and (open_ := [one.id for one in store.batches() if one.undone_by is None]):
                    target = open_[which % len(open_)]
                    undoes[by := store.undo(target).batch] = target
                    flip(target, by)
                counting = [number for number in given if number not in undone]
                state, findings = given[max(counting, default=batch.id)]
                (now,) = store.quarantined()
                expected = ("undone", None) if batch.id in undone else (state, findings)
                assert expected == (str(now.state), now.findings if batch.id not in undone else None)

    @holds(Contract.C4)
    def test_no_ids_are_no_records(self, store: DataStore) -> None:
        """A question for the records of no ids finds none."""
        with store.batch() as batch:
            batch.quarantine([_rejected("bar", 3, kind="bars")])
        assert [] == list(store.backend.quarantined(QuarantineQuery(ids=())))

    @holds(Contract.C4)
    def test_a_later_version_stands_when_an_earlier_one_is_replayed(self, store: DataStore) -> None:
        """A replayed version does not replace one that a later batch brought, unless it was changed."""
        bars = [Bar("A", Instant(0), 1, 2, 1, close, 5, "1m") for close in (1, 2)]
        trades = [Trade("A", Instant(1), price, 5, trade_id="7") for price in (10, 11)]
        with store.batch() as first:
            first.quarantine([_rejected("bar", 1, kind="bars"), _rejected("trade", 2, kind="trades")])
        store.save([bars[1], trades[1]])
        ids = {one.raw: one.id for one in store.quarantined()}
        with store.batch(replays=first.id) as replay:
            replay.replay(BARS, to_table(BARS, bars[:1]), [ids["bar"]])
            replay.replay(TRADES, to_table(TRADES, trades[:1]), [ids["trade"]])
        assert (bars[1:], trades[1:]) == (store.get_bars(), store.get_trades())
        assert [one.state for one in store.quarantined()] == ["replayed", "replayed"]

    @holds(Contract.C4)
    def test_a_fix_is_news(self, store: DataStore) -> None:
        """A rejected row that was fixed replaces an earlier version of its key."""
        bars = [Bar("A", Instant(0), 1, 2, 1, close, 5, "1m") for close in (1, 2)]
        with store.batch() as first:
            first.quarantine([_rejected("bar", 1, kind="bars")])
        store.save(bars[1])
        (rejected,) = store.quarantined()
        with store.batch(replays=first.id) as replay:
            replay.replay(BARS, to_table(BARS, bars[:1]), [rejected.id], fixed=True)
        assert bars[:1] == store.get_bars()
        assert [one.state for one in store.quarantined()] == ["fixed"]

    @holds(Contract.C4, Capability.UNDO)
    def test_undo_of_a_replay_reopens(self, store: DataStore) -> None:
        """Undoing a replay takes the rows out again and reopens the records; undoing the first batch takes both."""
        row = Quote("A", Instant(1), 1, 2)
        with store.batch() as first:
            first.quarantine([_rejected("quote", 1, kind="quotes")])
        (rejected,) = store.quarantined()
        for target in ("replay", "first"):
            with store.batch(replays=first.id) as replay:
                replay.replay(QUOTES, to_table(QUOTES, [row]), [rejected.id])
            assert [row] == store.get_quotes()
            store.undo(replay.id if target == "replay" else first.id)
            assert store.get_quotes() == []
            assert ["open" if target == "replay" else "undone"] == [one.state for one in store.quarantined()]

    @holds(Contract.C4)
    def test_a_failed_replay_changes_nothing(self, store: DataStore) -> None:
        """A replay that ends with an error leaves rows and states as they were."""
        with store.batch() as first:
            first.quarantine([_rejected("quote", 1, kind="quotes")])
        before = store.quarantined()

        def fail() -> None:
            with store.batch(replays=first.id) as replay:
                replay.replay(QUOTES, to_table(QUOTES, [Quote("A", Instant(1), 1, 2)]), [before[0].id])
                raise RuntimeError("no")

        with pytest.raises(RuntimeError, match="no"):
            fail()
        assert (before, []) == (store.quarantined(), store.get_quotes())

    @holds(Contract.C4)
    def test_what_is_rejected_again_gets_its_new_findings(self, store: DataStore) -> None:
        """A record that was judged again and rejected stays open, with the findings of now."""
        with store.batch() as first:
            first.quarantine([_rejected("quote", 1, kind="quotes")])
        (rejected,) = store.quarantined()
        now = ({"rule": "quote.crossed", "message": "still crossed"},)
        with store.batch(replays=first.id) as replay:
            replay.reject_again([evolve(rejected, findings=now)])
        assert [("open", now, rejected.id)] == [(one.state, one.findings, one.id) for one in store.quarantined()]

    @holds(Contract.C4)
    def test_what_is_judged_as_before_is_left_as_it_was(self, store: DataStore) -> None:
        """A record that is rejected again for the same reasons is not changed, so that asking again costs no room."""
        with store.batch() as first:
            first.quarantine([_rejected("quote", 1, kind="quotes"), _rejected("other", 2, kind="quotes")])
        before = {one.raw: one for one in store.quarantined()}
        with store.batch(replays=first.id) as replay:
            replay.reject_again([before["quote"], evolve(before["other"], findings=({"rule": "new"},))])
        assert {"quote": None, "other": replay.id} == {one.raw: one.changed_by for one in store.quarantined()}
        assert before["quote"] in store.quarantined()
