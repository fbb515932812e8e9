-- The side of the aggressor of a trade, the broker's own words for an order, and how a file was read. Rows of before have null there.
ALTER TABLE trades ADD COLUMN side TEXT;
ALTER TABLE trades_history ADD COLUMN side TEXT;
ALTER TABLE orders ADD COLUMN type_raw TEXT;
ALTER TABLE orders ADD COLUMN side_raw TEXT;
ALTER TABLE orders_history ADD COLUMN type_raw TEXT;
ALTER TABLE orders_history ADD COLUMN side_raw TEXT;
ALTER TABLE batches ADD COLUMN reading TEXT;

-- One spelling for one length of an interval: 60m is 1h. Of two bars that are one then, the later batch's stands, and the other is its past.
CREATE TABLE spellings (old TEXT PRIMARY KEY, new TEXT NOT NULL) STRICT;
INSERT INTO spellings
    WITH present AS (SELECT DISTINCT interval FROM bars UNION SELECT DISTINCT interval FROM bars_history),
    lengths AS (
        SELECT interval, CAST(interval AS INTEGER) * CASE ltrim(interval, '0123456789')
            WHEN 's' THEN 1 WHEN 'm' THEN 60 WHEN 'h' THEN 3600 WHEN 'd' THEN 86400 WHEN 'w' THEN 604800 END AS seconds
        FROM present
    )
    SELECT interval, CASE
        WHEN seconds % 604800 = 0 THEN (seconds / 604800) || 'w'
        WHEN seconds % 86400 = 0 THEN (seconds / 86400) || 'd'
        WHEN seconds % 3600 = 0 THEN (seconds / 3600) || 'h'
        WHEN seconds % 60 = 0 THEN (seconds / 60) || 'm'
        ELSE seconds || 's' END
    FROM lengths WHERE seconds > 0;
DELETE FROM spellings WHERE new NOT IN (SELECT new FROM spellings WHERE old <> new);
CREATE TABLE superseded AS
    SELECT * FROM (
        SELECT symbol, interval, ts_ns, new, row_number() OVER versions AS place, max(batch) OVER versions AS later
        FROM bars JOIN spellings ON old = interval
        WINDOW versions AS (PARTITION BY symbol, new, ts_ns ORDER BY batch DESC, interval)
    ) WHERE place > 1;
INSERT INTO bars_history (symbol, ts_ns, open, high, low, close, volume, interval, vwap, trade_count, batch, retired_by, reason)
    SELECT symbol, ts_ns, open, high, low, close, volume, interval, vwap, trade_count, batch, later, 'revised'
    FROM bars JOIN superseded USING (symbol, interval, ts_ns);
DELETE FROM bars WHERE (symbol, interval, ts_ns) IN (SELECT symbol, interval, ts_ns FROM superseded);
UPDATE bars SET interval = (SELECT new FROM spellings WHERE old = interval)
    WHERE interval IN (SELECT old FROM spellings WHERE old <> new);
UPDATE bars_history SET interval = (SELECT new FROM spellings WHERE old = interval)
    WHERE interval IN (SELECT old FROM spellings WHERE old <> new);
DROP TABLE superseded;
DROP TABLE spellings;

-- The quarantine, compact: texts that many rows share are kept once, and equal rows are found by a digest of kind, text and cells.
CREATE TABLE quarantine_findings (
    id INTEGER PRIMARY KEY,
    digest INTEGER NOT NULL,
    text TEXT NOT NULL,
    rules TEXT NOT NULL
) STRICT;
CREATE INDEX quarantine_findings_by_digest ON quarantine_findings (digest);
INSERT INTO quarantine_findings (digest, text, rules)
    SELECT fpa_digest(findings), findings, (SELECT json_group_array(value ->> 'rule') FROM json_each(findings))
    FROM (SELECT findings FROM quarantine UNION SELECT findings FROM quarantine_history);

CREATE TABLE quarantine_layouts (
    id INTEGER PRIMARY KEY,
    layout TEXT NOT NULL UNIQUE
) STRICT;

DROP INDEX quarantine_by_batch;
DROP INDEX quarantine_by_raw;
DROP INDEX quarantine_by_change;
ALTER TABLE quarantine RENAME TO quarantine_before;
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY,
    batch INTEGER NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT,
    ts_ns INTEGER,
    row INTEGER,
    raw TEXT NOT NULL,
    digest INTEGER NOT NULL,
    findings INTEGER NOT NULL,
    arguments TEXT,
    state TEXT NOT NULL DEFAULT 'open',
    changed_by INTEGER,
    layout INTEGER,
    cells TEXT
) STRICT;
INSERT INTO quarantine
    SELECT q.id, q.batch, q.kind, q.subject, q.ts_ns, q.row, q.raw, fpa_digest(q.kind, q.raw, q.cells),
        (SELECT f.id FROM quarantine_findings f WHERE f.digest = fpa_digest(q.findings) AND f.text = q.findings),
        NULL, q.state, q.changed_by, NULL, q.cells
    FROM quarantine_before q;
DROP TABLE quarantine_before;
CREATE INDEX quarantine_by_batch ON quarantine (batch);
CREATE INDEX quarantine_by_digest ON quarantine (digest) WHERE state <> 'undone';
CREATE INDEX quarantine_by_change ON quarantine (changed_by) WHERE changed_by IS NOT NULL;

DROP INDEX quarantine_history_by_batch;
ALTER TABLE quarantine_history RENAME TO quarantine_history_before;
CREATE TABLE quarantine_history (
    record INTEGER NOT NULL,
    state TEXT NOT NULL,
    findings INTEGER NOT NULL,
    arguments TEXT,
    changed_by INTEGER,
    retired_by INTEGER NOT NULL
) STRICT;
INSERT INTO quarantine_history
    SELECT h.record, h.state,
        (SELECT f.id FROM quarantine_findings f WHERE f.digest = fpa_digest(h.findings) AND f.text = h.findings),
        NULL, h.changed_by, h.retired_by
    FROM quarantine_history_before h;
DROP TABLE quarantine_history_before;
CREATE INDEX quarantine_history_by_batch ON quarantine_history (retired_by);
