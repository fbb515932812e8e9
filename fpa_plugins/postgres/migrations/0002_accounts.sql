-- An order belongs to an account, and two accounts may have orders of one id: the account becomes a part of the key.
ALTER TABLE orders ADD COLUMN account text COLLATE "C" NOT NULL DEFAULT 'default';
ALTER TABLE orders DROP CONSTRAINT orders_pkey, ADD PRIMARY KEY (symbol, order_id, account);
ALTER TABLE orders_history ADD COLUMN account text COLLATE "C" NOT NULL DEFAULT 'default';

-- What an account did: executions of its orders, and cash that came and went. What companies did.
CREATE TABLE fills (
    symbol text COLLATE "C" NOT NULL, ts_ns bigint NOT NULL, side text COLLATE "C" NOT NULL, price text COLLATE "C" NOT NULL,
    quantity text COLLATE "C" NOT NULL, account text COLLATE "C" NOT NULL, fill_id text COLLATE "C" NOT NULL,
    order_id text COLLATE "C", fee text COLLATE "C", currency text COLLATE "C" NOT NULL, fee_currency text COLLATE "C",
    multiplier text COLLATE "C", amount text COLLATE "C", liquidity text COLLATE "C", exchange text COLLATE "C",
    side_raw text COLLATE "C", batch bigint NOT NULL, since bigint, PRIMARY KEY (symbol, fill_id, account)
);
CREATE TABLE fills_history (LIKE fills, retired_by bigint NOT NULL, reason text COLLATE "C" NOT NULL);
CREATE INDEX fills_history_by_key ON fills_history (fill_id, account);
CREATE INDEX fills_by_id ON fills (fill_id, account);
CREATE INDEX fills_by_time ON fills (symbol, ts_ns);
CREATE INDEX fills_by_account ON fills (account, ts_ns);
CREATE INDEX fills_by_order ON fills (order_id) WHERE order_id IS NOT NULL;

CREATE TABLE corporate_actions (
    symbol text COLLATE "C" NOT NULL, ts_ns bigint NOT NULL, action_type text COLLATE "C" NOT NULL, new_rate text COLLATE "C",
    old_rate text COLLATE "C", amount text COLLATE "C", currency text COLLATE "C" NOT NULL, new_symbol text COLLATE "C",
    basis_fraction text COLLATE "C", record_ns bigint, payable_ns bigint, type_raw text COLLATE "C", batch bigint NOT NULL,
    since bigint, PRIMARY KEY (symbol, action_type, ts_ns)
);
CREATE TABLE corporate_actions_history (LIKE corporate_actions, retired_by bigint NOT NULL, reason text COLLATE "C" NOT NULL);
CREATE INDEX corporate_actions_history_by_key ON corporate_actions_history (symbol, action_type, ts_ns);

CREATE TABLE cash (
    account text COLLATE "C" NOT NULL, ts_ns bigint NOT NULL, flow_type text COLLATE "C" NOT NULL, amount text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL, symbol text COLLATE "C", transaction_id text COLLATE "C" NOT NULL, reference text COLLATE "C",
    type_raw text COLLATE "C", batch bigint NOT NULL, since bigint, PRIMARY KEY (account, transaction_id)
);
CREATE TABLE cash_history (LIKE cash, retired_by bigint NOT NULL, reason text COLLATE "C" NOT NULL);
CREATE INDEX cash_history_by_key ON cash_history (account, transaction_id);
CREATE INDEX cash_by_time ON cash (account, ts_ns);
