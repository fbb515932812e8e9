-- An order belongs to an account, and two accounts may have orders of one id: the account becomes a part of the key.
CREATE TABLE orders_by_account (
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
    type_raw TEXT,
    side_raw TEXT,
    account TEXT NOT NULL,
    batch INTEGER NOT NULL,
    since INTEGER,
    PRIMARY KEY (order_id, account)
) STRICT, WITHOUT ROWID;
INSERT INTO orders_by_account (
    order_id, symbol, quantity, side, order_type, status, filled_quantity, average_fill_price, limit_price,
    stop_price, time_in_force, ts_ns, updated_ns, client_order_id, status_raw, notional, trail_price,
    trail_percent, type_raw, side_raw, account, batch, since
) SELECT
    order_id, symbol, quantity, side, order_type, status, filled_quantity, average_fill_price, limit_price,
    stop_price, time_in_force, ts_ns, updated_ns, client_order_id, status_raw, notional, trail_price,
    trail_percent, type_raw, side_raw, 'default', batch, since
FROM orders;
DROP TABLE orders;
ALTER TABLE orders_by_account RENAME TO orders;
CREATE INDEX orders_by_symbol ON orders (symbol, ts_ns);
ALTER TABLE orders_history ADD COLUMN account TEXT NOT NULL DEFAULT 'default';
DROP INDEX orders_history_by_key;
CREATE INDEX orders_history_by_key ON orders_history (order_id, account);

-- What an account did: executions of its orders, and cash that came and went. What companies did.
CREATE TABLE fills (
    symbol TEXT NOT NULL,
    ts_ns INTEGER NOT NULL,
    side TEXT NOT NULL,
    price TEXT NOT NULL,
    quantity TEXT NOT NULL,
    account TEXT NOT NULL,
    fill_id TEXT NOT NULL,
    order_id TEXT,
    fee TEXT,
    currency TEXT NOT NULL,
    fee_currency TEXT,
    multiplier TEXT,
    amount TEXT,
    liquidity TEXT,
    exchange TEXT,
    side_raw TEXT,
    batch INTEGER NOT NULL,
    since INTEGER,
    PRIMARY KEY (fill_id, account)
) STRICT, WITHOUT ROWID;
CREATE TABLE fills_history (
    symbol TEXT NOT NULL,
    ts_ns INTEGER NOT NULL,
    side TEXT NOT NULL,
    price TEXT NOT NULL,
    quantity TEXT NOT NULL,
    account TEXT NOT NULL,
    fill_id TEXT NOT NULL,
    order_id TEXT,
    fee TEXT,
    currency TEXT NOT NULL,
    fee_currency TEXT,
    multiplier TEXT,
    amount TEXT,
    liquidity TEXT,
    exchange TEXT,
    side_raw TEXT,
    batch INTEGER NOT NULL,
    since INTEGER,
    retired_by INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX fills_history_by_key ON fills_history (fill_id, account);
CREATE TABLE corporate_actions (
    symbol TEXT NOT NULL,
    ts_ns INTEGER NOT NULL,
    action_type TEXT NOT NULL,
    new_rate TEXT,
    old_rate TEXT,
    amount TEXT,
    currency TEXT NOT NULL,
    new_symbol TEXT,
    basis_fraction TEXT,
    record_ns INTEGER,
    payable_ns INTEGER,
    type_raw TEXT,
    batch INTEGER NOT NULL,
    since INTEGER,
    PRIMARY KEY (symbol, action_type, ts_ns)
) STRICT, WITHOUT ROWID;
CREATE TABLE corporate_actions_history (
    symbol TEXT NOT NULL,
    ts_ns INTEGER NOT NULL,
    action_type TEXT NOT NULL,
    new_rate TEXT,
    old_rate TEXT,
    amount TEXT,
    currency TEXT NOT NULL,
    new_symbol TEXT,
    basis_fraction TEXT,
    record_ns INTEGER,
    payable_ns INTEGER,
    type_raw TEXT,
    batch INTEGER NOT NULL,
    since INTEGER,
    retired_by INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX corporate_actions_history_by_key ON corporate_actions_history (symbol, action_type, ts_ns);
CREATE TABLE cash (
    account TEXT NOT NULL,
    ts_ns INTEGER NOT NULL,
    flow_type TEXT NOT NULL,
    amount TEXT NOT NULL,
    currency TEXT NOT NULL,
    symbol TEXT,
    transaction_id TEXT NOT NULL,
    reference TEXT,
    type_raw TEXT,
    batch INTEGER NOT NULL,
    since INTEGER,
    PRIMARY KEY (account, transaction_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE cash_history (
    account TEXT NOT NULL,
    ts_ns INTEGER NOT NULL,
    flow_type TEXT NOT NULL,
    amount TEXT NOT NULL,
    currency TEXT NOT NULL,
    symbol TEXT,
    transaction_id TEXT NOT NULL,
    reference TEXT,
    type_raw TEXT,
    batch INTEGER NOT NULL,
    since INTEGER,
    retired_by INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX cash_history_by_key ON cash_history (account, transaction_id);
CREATE INDEX fills_by_symbol ON fills (symbol, ts_ns);
CREATE INDEX fills_by_account ON fills (account, ts_ns);
CREATE INDEX fills_by_order ON fills (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX cash_by_account ON cash (account, ts_ns);
