-- The first schema: who brought what (batches), what was refused (quarantine), and two tables for every kind of record:
-- what reads return, and the history of what they returned before.

CREATE TABLE schema_versions (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_ns INTEGER NOT NULL
) STRICT;

CREATE TABLE batches (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    recorded_ns INTEGER NOT NULL,
    file TEXT,
    digest TEXT,
    read INTEGER NOT NULL DEFAULT 0,
    inserted INTEGER NOT NULL DEFAULT 0,
    duplicate INTEGER NOT NULL DEFAULT 0,
    revised INTEGER NOT NULL DEFAULT 0,
    quarantined INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0,
    undone_by INTEGER
) STRICT;
CREATE INDEX batches_by_time ON batches (recorded_ns);

CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY,
    batch INTEGER NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT,
    ts_ns INTEGER,
    row INTEGER,
    raw TEXT NOT NULL,
    findings TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'open'
) STRICT;
CREATE INDEX quarantine_by_batch ON quarantine (batch);

CREATE TABLE quotes (
    symbol TEXT NOT NULL,
    ts_ns INTEGER NOT NULL,
    bid TEXT,
    ask TEXT,
    bid_size TEXT,
    ask_size TEXT,
    bid_exchange TEXT,
    ask_exchange TEXT,
    conditions TEXT,
    seq INTEGER NOT NULL,
    batch INTEGER NOT NULL,
    PRIMARY KEY (symbol, ts_ns, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE quotes_history (
    symbol TEXT NOT NULL,
    ts_ns INTEGER NOT NULL,
    bid TEXT,
    ask TEXT,
    bid_size TEXT,
    ask_size TEXT,
    bid_exchange TEXT,
    ask_exchange TEXT,
    conditions TEXT,
    seq INTEGER NOT NULL,
    batch INTEGER NOT NULL,
    retired_by INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX quotes_history_by_key ON quotes_history (symbol, ts_ns, seq);
CREATE TABLE trades (
    symbol TEXT NOT NULL,
    ts_ns INTEGER NOT NULL,
    price TEXT NOT NULL,
    size TEXT NOT NULL,
    conditions TEXT,
    exchange TEXT,
    trade_id TEXT,
    seq INTEGER NOT NULL,
    batch INTEGER NOT NULL,
    PRIMARY KEY (symbol, ts_ns, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE trades_history (
    symbol TEXT NOT NULL,
    ts_ns INTEGER NOT NULL,
    price TEXT NOT NULL,
    size TEXT NOT NULL,
    conditions TEXT,
    exchange TEXT,
    trade_id TEXT,
    seq INTEGER NOT NULL,
    batch INTEGER NOT NULL,
    retired_by INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX trades_history_by_key ON trades_history (symbol, ts_ns, seq);
CREATE TABLE bars (
    symbol TEXT NOT NULL,
    ts_ns INTEGER NOT NULL,
    open TEXT,
    high TEXT,
    low TEXT,
    close TEXT NOT NULL,
    volume TEXT,
    interval TEXT NOT NULL,
    vwap TEXT,
    trade_count INTEGER,
    batch INTEGER NOT NULL,
    PRIMARY KEY (symbol, interval, ts_ns)
) STRICT, WITHOUT ROWID;
CREATE TABLE bars_history (
    symbol TEXT NOT NULL,
    ts_ns INTEGER NOT NULL,
    open TEXT,
    high TEXT,
    low TEXT,
    close TEXT NOT NULL,
    volume TEXT,
    interval TEXT NOT NULL,
    vwap TEXT,
    trade_count INTEGER,
    batch INTEGER NOT NULL,
    retired_by INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX bars_history_by_key ON bars_history (symbol, interval, ts_ns);
CREATE TABLE orders (
    order_id TEXT NOT NULL,
    symbol TEXT NOT NULL,
    quantity TEXT,
    side TEXT NOT NULL,
    order_type TEXT NOT NULL,
    status TEXT NOT NULL,
    filled_quantity TEXT NOT NULL,
    average_fill_price TEXT,
    limit_price TEXT,
    stop_price TEXT,
    time_in_force TEXT NOT NULL,
    ts_ns INTEGER NOT NULL,
    updated_ns INTEGER NOT NULL,
    client_order_id TEXT,
    status_raw TEXT,
    notional TEXT,
    trail_price TEXT,
    trail_percent TEXT,
    batch INTEGER NOT NULL,
    PRIMARY KEY (order_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE orders_history (
    order_id TEXT NOT NULL,
    symbol TEXT NOT NULL,
    quantity TEXT,
    side TEXT NOT NULL,
    order_type TEXT NOT NULL,
    status TEXT NOT NULL,
    filled_quantity TEXT NOT NULL,
    average_fill_price TEXT,
    limit_price TEXT,
    stop_price TEXT,
    time_in_force TEXT NOT NULL,
    ts_ns INTEGER NOT NULL,
    updated_ns INTEGER NOT NULL,
    client_order_id TEXT,
    status_raw TEXT,
    notional TEXT,
    trail_price TEXT,
    trail_percent TEXT,
    batch INTEGER NOT NULL,
    retired_by INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX orders_history_by_key ON orders_history (order_id);
CREATE INDEX orders_by_symbol ON orders (symbol, ts_ns);
CREATE TABLE positions (
    symbol TEXT NOT NULL,
    quantity TEXT NOT NULL,
    market_value TEXT,
    cost_basis TEXT,
    unrealized_pnl TEXT,
    day_pnl TEXT,
    ts_ns INTEGER NOT NULL,
    account TEXT NOT NULL,
    avg_entry_price TEXT,
    current_price TEXT,
    side TEXT,
    asset_class TEXT,
    batch INTEGER NOT NULL,
    PRIMARY KEY (symbol, account, ts_ns)
) STRICT, WITHOUT ROWID;
CREATE TABLE positions_history (
    symbol TEXT NOT NULL,
    quantity TEXT NOT NULL,
    market_value TEXT,
    cost_basis TEXT,
    unrealized_pnl TEXT,
    day_pnl TEXT,
    ts_ns INTEGER NOT NULL,
    account TEXT NOT NULL,
    avg_entry_price TEXT,
    current_price TEXT,
    side TEXT,
    asset_class TEXT,
    batch INTEGER NOT NULL,
    retired_by INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX positions_history_by_key ON positions_history (symbol, account, ts_ns);
CREATE INDEX positions_by_account ON positions (account, ts_ns);
CREATE TABLE snapshots (
    ts_ns INTEGER NOT NULL,
    total_value TEXT NOT NULL,
    buying_power TEXT,
    day_pnl TEXT,
    total_pnl TEXT,
    cash TEXT,
    currency TEXT NOT NULL,
    account TEXT NOT NULL,
    batch INTEGER NOT NULL,
    PRIMARY KEY (account, ts_ns)
) STRICT, WITHOUT ROWID;
CREATE TABLE snapshots_history (
    ts_ns INTEGER NOT NULL,
    total_value TEXT NOT NULL,
    buying_power TEXT,
    day_pnl TEXT,
    total_pnl TEXT,
    cash TEXT,
    currency TEXT NOT NULL,
    account TEXT NOT NULL,
    batch INTEGER NOT NULL,
    retired_by INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX snapshots_history_by_key ON snapshots_history (account, ts_ns);
