-- The first schema. All texts are COLLATE "C", so that their order and their ranges are by code point; decimals are canonical texts, exact
-- at any scale. Tables of records begin their keys with the subject, and no unique constraint and no foreign key spans subjects, so that a
-- server that shards can distribute them by it. Batches and the quarantine are small: such a server copies them to every node.

CREATE TABLE schema_versions (
    version bigint PRIMARY KEY, name text COLLATE "C" NOT NULL, checksum text COLLATE "C" NOT NULL, applied_ns bigint NOT NULL
);

-- Each writer takes a number: two that follow each other mean that nobody wrote between.
CREATE SEQUENCE writers;

CREATE TABLE batches (
    id bigint PRIMARY KEY, origin text COLLATE "C" NOT NULL, recorded_ns bigint NOT NULL, file text COLLATE "C", digest text COLLATE "C",
    read bigint NOT NULL DEFAULT 0, inserted bigint NOT NULL DEFAULT 0, duplicate bigint NOT NULL DEFAULT 0,
    revised bigint NOT NULL DEFAULT 0, quarantined bigint NOT NULL DEFAULT 0, deleted bigint NOT NULL DEFAULT 0, undone_by bigint,
    replays bigint, reading text COLLATE "C", parent bigint, undoes bigint
);
CREATE INDEX batches_by_time ON batches (recorded_ns);
CREATE INDEX batches_by_replayed ON batches (replays) WHERE replays IS NOT NULL;
CREATE INDEX batches_by_parent ON batches (parent) WHERE parent IS NOT NULL;

CREATE TABLE quotes (
    symbol text COLLATE "C" NOT NULL, ts_ns bigint NOT NULL, bid text COLLATE "C", ask text COLLATE "C", bid_size text COLLATE "C",
    ask_size text COLLATE "C", bid_exchange text COLLATE "C", ask_exchange text COLLATE "C", conditions text COLLATE "C",
    seq bigint NOT NULL, batch bigint NOT NULL, since bigint, PRIMARY KEY (symbol, ts_ns, seq)
);
CREATE TABLE quotes_history (LIKE quotes, retired_by bigint NOT NULL, reason text COLLATE "C" NOT NULL);
CREATE INDEX quotes_history_by_key ON quotes_history (symbol, ts_ns, seq);

CREATE TABLE trades (
    symbol text COLLATE "C" NOT NULL, ts_ns bigint NOT NULL, price text COLLATE "C" NOT NULL, size text COLLATE "C" NOT NULL,
    conditions text COLLATE "C", exchange text COLLATE "C", trade_id text COLLATE "C", side text COLLATE "C", seq bigint NOT NULL,
    batch bigint NOT NULL, since bigint, PRIMARY KEY (symbol, ts_ns, seq)
);
CREATE TABLE trades_history (LIKE trades, retired_by bigint NOT NULL, reason text COLLATE "C" NOT NULL);
CREATE INDEX trades_history_by_key ON trades_history (symbol, ts_ns, seq);

CREATE TABLE bars (
    symbol text COLLATE "C" NOT NULL, ts_ns bigint NOT NULL, open text COLLATE "C", high text COLLATE "C", low text COLLATE "C",
    close text COLLATE "C" NOT NULL, volume text COLLATE "C", interval text COLLATE "C" NOT NULL, vwap text COLLATE "C",
    trade_count bigint, batch bigint NOT NULL, since bigint, PRIMARY KEY (symbol, interval, ts_ns)
);
CREATE TABLE bars_history (LIKE bars, retired_by bigint NOT NULL, reason text COLLATE "C" NOT NULL);
CREATE INDEX bars_history_by_key ON bars_history (symbol, interval, ts_ns);

CREATE TABLE orders (
    order_id text COLLATE "C" NOT NULL, symbol text COLLATE "C" NOT NULL, quantity text COLLATE "C", side text COLLATE "C" NOT NULL,
    order_type text COLLATE "C" NOT NULL, status text COLLATE "C" NOT NULL, filled_quantity text COLLATE "C" NOT NULL,
    average_fill_price text COLLATE "C", limit_price text COLLATE "C", stop_price text COLLATE "C",
    time_in_force text COLLATE "C" NOT NULL, ts_ns bigint NOT NULL, updated_ns bigint NOT NULL, client_order_id text COLLATE "C",
    status_raw text COLLATE "C", notional text COLLATE "C", trail_price text COLLATE "C", trail_percent text COLLATE "C",
    type_raw text COLLATE "C", side_raw text COLLATE "C", batch bigint NOT NULL, since bigint, PRIMARY KEY (symbol, order_id)
);
CREATE TABLE orders_history (LIKE orders, retired_by bigint NOT NULL, reason text COLLATE "C" NOT NULL);
CREATE INDEX orders_history_by_key ON orders_history (symbol, order_id);
CREATE INDEX orders_by_id ON orders (order_id);
CREATE INDEX orders_history_by_id ON orders_history (order_id);
CREATE INDEX orders_by_time ON orders (symbol, ts_ns);

CREATE TABLE positions (
    symbol text COLLATE "C" NOT NULL, quantity text COLLATE "C" NOT NULL, market_value text COLLATE "C", cost_basis text COLLATE "C",
    unrealized_pnl text COLLATE "C", day_pnl text COLLATE "C", ts_ns bigint NOT NULL, account text COLLATE "C" NOT NULL,
    avg_entry_price text COLLATE "C", current_price text COLLATE "C", side text COLLATE "C", asset_class text COLLATE "C",
    batch bigint NOT NULL, since bigint, PRIMARY KEY (symbol, account, ts_ns)
);
CREATE TABLE positions_history (LIKE positions, retired_by bigint NOT NULL, reason text COLLATE "C" NOT NULL);
CREATE INDEX positions_history_by_key ON positions_history (symbol, account, ts_ns);
CREATE INDEX positions_by_account ON positions (account, ts_ns);

CREATE TABLE snapshots (
    ts_ns bigint NOT NULL, total_value text COLLATE "C" NOT NULL, buying_power text COLLATE "C", day_pnl text COLLATE "C",
    total_pnl text COLLATE "C", cash text COLLATE "C", currency text COLLATE "C" NOT NULL, account text COLLATE "C" NOT NULL,
    batch bigint NOT NULL, since bigint, PRIMARY KEY (account, ts_ns)
);
CREATE TABLE snapshots_history (LIKE snapshots, retired_by bigint NOT NULL, reason text COLLATE "C" NOT NULL);
CREATE INDEX snapshots_history_by_key ON snapshots_history (account, ts_ns);

-- Sealed rows. The catalog is apart from the contents, which are compressed already: EXTERNAL keeps the server from trying again.
CREATE TABLE segments (
    id bigint NOT NULL, kind text COLLATE "C" NOT NULL, subject text COLLATE "C" NOT NULL, first_ns bigint NOT NULL,
    last_ns bigint NOT NULL, rows bigint NOT NULL, first_batch bigint NOT NULL, last_batch bigint NOT NULL, bytes bigint NOT NULL,
    last_row text COLLATE "C" NOT NULL, checksum bytea NOT NULL, PRIMARY KEY (subject, kind, last_ns)
);
CREATE INDEX segments_by_id ON segments (id);
CREATE INDEX segments_by_kind ON segments (kind, subject, last_ns);
CREATE TABLE segment_contents (
    id bigint NOT NULL, content bytea NOT NULL
);
ALTER TABLE segment_contents ALTER COLUMN content SET STORAGE EXTERNAL;
CREATE INDEX segment_contents_by_id ON segment_contents (id);

-- Rejected rows. Texts that many share are kept once; equal rows are found by a digest of kind, text and cells.
CREATE TABLE quarantine_findings (
    id bigint PRIMARY KEY, digest bigint NOT NULL, text text COLLATE "C" NOT NULL, rules text COLLATE "C" NOT NULL
);
CREATE INDEX quarantine_findings_by_digest ON quarantine_findings (digest);
-- A B-tree holds no long text; a hash of it does.
CREATE TABLE quarantine_layouts (
    id bigint PRIMARY KEY, layout text COLLATE "C" NOT NULL
);
CREATE INDEX quarantine_layouts_by_layout ON quarantine_layouts USING hash (layout);
CREATE TABLE quarantine (
    id bigint PRIMARY KEY, batch bigint NOT NULL, kind text COLLATE "C" NOT NULL, subject text COLLATE "C", ts_ns bigint, row bigint,
    raw text COLLATE "C" NOT NULL, digest bigint NOT NULL, findings bigint NOT NULL, arguments text COLLATE "C",
    state text COLLATE "C" NOT NULL DEFAULT 'open', changed_by bigint, layout bigint, cells text COLLATE "C"
);
CREATE INDEX quarantine_by_batch ON quarantine (batch);
CREATE INDEX quarantine_by_digest ON quarantine (digest, id) WHERE state <> 'undone';
CREATE INDEX quarantine_by_change ON quarantine (changed_by) WHERE changed_by IS NOT NULL;
CREATE TABLE quarantine_history (
    record bigint NOT NULL, state text COLLATE "C" NOT NULL, findings bigint NOT NULL, arguments text COLLATE "C", changed_by bigint,
    retired_by bigint NOT NULL
);
CREATE INDEX quarantine_history_by_batch ON quarantine_history (retired_by);
CREATE TABLE quarantine_matches (
    batch bigint NOT NULL, kind text COLLATE "C" NOT NULL, subject text COLLATE "C" NOT NULL, ts_ns bigint NOT NULL, seq bigint NOT NULL,
    owner bigint NOT NULL
);
CREATE INDEX quarantine_matches_by_batch ON quarantine_matches (batch);
