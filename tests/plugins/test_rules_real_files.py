"""The standard rules on real market data: they count exactly what is known of the files, and refuse nothing at level standard."""

import gzip
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from fpa_core.arrow.conversion import from_table
from fpa_core.arrow.parsing import parse_decimals, parse_times
from fpa_core.kinds import KINDS
from fpa_core.numbers import ns_text
from fpa_core.validator import DataValidator, configure
from fpa_plugins.rules.catalog import RULES
from fpa_plugins.rules.ruleset import RuleSet

DATA = Path(os.environ.get("FPA_SHARED_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))
NOW = 2_000_000_000 * 10**9

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the market data files are not here (set FPA_SHARED_DATA)")

FILES = sorted(path.name for kind in ("quotes", "trades", "bars") for path in DATA.glob(f"{kind}_*.csv.gz"))

QUOTES = {
    "quotes_cfd_oanda_XAUUSD_2014-05-04": (0, 0, 0, 0, 0),
    "quotes_crypto_binance_BTCUSDT_2021-01-08": (0, 0, 0, 0, 0),
    "quotes_crypto_coinbase_1m_BTCUSD_2017_2018": (0, 0, 0, 0, 0),
    "quotes_future_1m_GC_2013-10-07": (15, 67, 1_722, 0, 0),
    "quotes_future_mbp1_ESU4_2024-07-01": (0, 0, 0, 0, 0),
    "quotes_fx_fxcm_EURUSD_2014-05-04_06": (15_160, 19_522, 0, 0, 0),
    "quotes_fx_histdata_EURUSD_2020-01-01": (0, 0, 0, 0, 0),
    "quotes_fx_oanda_EURUSD_2014-05-04_08": (0, 0, 0, 0, 0),
    "quotes_indexoption_1m_SPXW_2021-01-06": (7, 64, 1, 659, 0),
    "quotes_option_1m_TWX_2014-06-05": (0, 0, 12_928, 2_854, 0),
    "quotes_us_equity_1s_SPY_2013-10-07": (0, 481, 0, 0, 0),
    "quotes_us_equity_taq_XXX_2018-01-02": (0, 0, 0, 90, 51),
    "quotes_us_equity_tick_IBM_2013-10-07_08": (0, 0, 234_817, 0, 0),
}
"""Rows crossed, locked, with one or no side, wider than 10 % of the mid price, with a price of zero."""

SHARED = {
    "quotes_crypto_binance_BTCUSDT_2021-01-08": 23,
    "quotes_future_mbp1_ESU4_2024-07-01": 121,
    "quotes_fx_oanda_EURUSD_2014-05-04_08": 1_971,
    "quotes_us_equity_taq_XXX_2018-01-02": 35_664,
    "quotes_us_equity_tick_IBM_2013-10-07_08": 140_227,
    "trades_crypto_binance_BTCUSDT_2021-01-08": 630,
    "trades_future_GC_2013-10-07": 12_050,
    "trades_us_equity_IBM_2013-10-07_08": 12_206,
    "trades_us_equity_SPY_2013-10-07": 134_439,
    "trades_us_equity_taq_XXX_2018-01-02": 20_712,
}
"""Rows that share symbol and time with the row before: what a constraint of uniqueness would lose. None in all other files."""

OUT_OF_ORDER = {"bars_index_1m_NIFTY50_2019-01": 4}
"""Rows before the row ahead of them, of the same symbol and interval."""

REPEATED = {"bars_index_1m_NIFTY50_2019-01": 1_509}
"""Bars that come a second time, each day after itself."""

FAR_LOWS = {"bars_crypto_coinbase_BTCUSD_1s_1m_1d": 1, "bars_us_equity_1d_SPY_AAPL_1998_2021": 3}
"""Bars with a high or low more than a factor of two from open and close; the low of 0.06 of BTCUSD is the one there."""

ZERO_SIZES = {"trades_future_GC_2013-10-07": 147}
NOT_POSITIVE = {"bars_single_price_1d_WTI_1986_on": 1}


def load(name):
    with gzip.open(DATA / name) as file:
        header = file.readline().decode().strip().split(",")
    kind = KINDS[name.partition("_")[0]]
    texts = pa.csv.read_csv(
        DATA / name,
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=True, null_values=[""]
        ),
    ).combine_chunks()
    readers = {"decimal": parse_decimals, "time": lambda column: parse_times(column, dates=True)}
    columns = {}
    for column in kind.columns:
        if column.name in header:
            array = texts.column(column.name).combine_chunks()
            read = readers.get(column.type)
            columns[column.name], problems = read(array) if read else (array, {})
            assert not problems
    return kind, pa.table(columns)


def judge(level):
    return DataValidator(RuleSet(configure(RULES, level)), now_ns=lambda: NOW)


@pytest.mark.parametrize("name", FILES)
def test_real_file(name):
    """Nothing real is refused at standard, and every flaw known of the file is counted to the last row."""
    kind, table = load(name)
    examination = judge("standard").start_run()
    for start in range(0, table.num_rows, 50_000):
        split = examination.split(kind, table.slice(start, 50_000))
        assert split.refused == ()
    result = examination.result()
    assert result.rows == table.num_rows
    assert result.is_valid
    failed = {rule: tally.failed for rule, tally in result.counts.items()}
    stem = name.removesuffix(".csv.gz")
    if kind.name == "quotes":
        rules = ("quote.crossed", "quote.locked", "quote.one_sided", "quote.spread", "quote.positive")
        assert tuple(failed[rule] for rule in rules) == QUOTES.get(stem, tuple(failed[rule] for rule in rules))
    elif kind.name == "trades":
        assert (failed["trade.size"], failed["trade.positive"]) == (ZERO_SIZES.get(stem, 0), 0)
        assert failed["trade.jump"] == 0
    else:
        assert (failed["bar.range"], failed["bar.volume"]) == (0, 0)
        assert failed["bar.positive"] == NOT_POSITIVE.get(stem, 0)
        assert (failed["bar.repeated"], failed["bar.conflict"]) == (REPEATED.get(stem, 0), 0)
        assert failed["bar.wick"] == FAR_LOWS.get(stem, 0)
        assert (failed["bar.interval"], failed["bar.day"]) == (0, 0)
    assert (failed["time.future"], failed.get("time.past", 0), failed.get("trade.id", 0)) == (0, 0, 0)
    assert failed["time.order"] == OUT_OF_ORDER.get(stem, 0)
    assert failed.get("time.shared", 0) == SHARED.get(stem, 0)


STRICT = ("fxcm_EURUSD", "quotes_us_equity_taq", "SPXW", "WTI", "AAPL", "BTCUSD_1s")


@pytest.mark.parametrize("name", [name for name in FILES if any(part in name for part in STRICT)])
def test_strict_parts_exactly(name):
    """At strict the flawed rows are refused and no others, each with its reasons; none is lost, and at standard all of them are accepted."""
    kind, table = load(name)
    table = table.slice(0, 20_000)
    split = judge("strict").split(kind, table)
    refused = [row for row, _ in split.refused]
    assert refused
    assert sorted([*split.accepted_rows.tolist(), *refused]) == list(range(table.num_rows))
    assert all(any(finding.severity == "error" for finding in findings) for _, findings in split.refused)
    again = judge("standard").start_run().split(kind, table.take(pa.array(refused, pa.int64())))
    assert (again.accepted.num_rows, again.refused) == (len(refused), ())
    whole = pa.concat_tables([split.accepted, again.accepted])
    order = np.argsort([*split.accepted_rows, *refused])
    assert whole.take(pa.array(order)).equals(table)


def messages(name, rule, level="standard", **equal):
    kind, table = load(name)
    result = judge(level).validate((kind, table), examples=10_000)
    found = [finding for finding in result.findings if finding.rule == rule]
    return [finding for finding in found if all(getattr(finding, key) == value for key, value in equal.items())]


def test_oil_below_zero():
    """The close of WTI at -36.98 is flagged at standard and refused at strict."""
    name = next(name for name in FILES if "WTI" in name)
    (finding,) = messages(name, "bar.positive")
    assert finding.message == "not above zero: close -36.98"
    assert [f.severity for f in messages(name, "bar.positive", "strict")] == ["error"]


def test_splits_of_a_share():
    """The four splits of AAPL are found, and the two of calm days are told by their ratio; so is the real loss of half its value, by none."""
    name = next(name for name in FILES if "AAPL" in name)
    found = {ns_text(finding.ts_ns)[:10]: finding.message for finding in messages(name, "bar.jump", subject="AAPL")}
    assert found.keys() == {"2000-06-21", "2000-09-29", "2005-02-28", "2014-06-09", "2020-08-31"}
    told = {day: message.partition("; ")[2] for day, message in found.items()}
    assert told == {
        "2000-06-21": "", "2000-09-29": "", "2005-02-28": "a split of 2 for 1 would explain it",
        "2014-06-09": "a split of 7 for 1 would explain it", "2020-08-31": "",
    }  # fmt: skip


def test_a_low_of_six_cents():
    """The day bar of BTCUSD with a low of 0.06 is found by that low, and is the only one."""
    name = next(name for name in FILES if "BTCUSD_1s" in name)
    (finding,) = messages(name, "bar.wick")
    assert (ns_text(finding.ts_ns)[:10], str(finding.observed["low"])) == ("2017-04-15", "0.06")


@pytest.mark.parametrize("name", FILES)
def test_real_rows_one_by_one(name):
    """On real rows too, records judged alone give the findings of their table."""
    kind, table = load(name)
    table = table.slice(table.num_rows // 2, 300)
    by_table = judge("strict").validate((kind, table), examples=300)
    by_record = judge("strict").validate(from_table(kind, table))
    assert by_table.counts == by_record.counts
    assert sorted((f.row, f.rule) for f in by_table.findings) == sorted((f.row, f.rule) for f in by_record.findings)
