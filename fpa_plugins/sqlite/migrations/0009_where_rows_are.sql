-- For people who open the file with a tool of SQLite: the tables quotes and trades hold only the rows that are in no segment.
CREATE VIEW read_me_most_quotes_and_trades_are_in_segments AS
SELECT 'quotes' AS kind,
    (SELECT count(*) FROM quotes) AS rows_in_table,
    (SELECT coalesce(sum(rows), 0) FROM segments WHERE kind = 'quotes') AS rows_in_segments,
    'fpa sql "select * from quotes", or: fpa query quotes --format csv' AS to_read_all
UNION ALL
SELECT 'trades',
    (SELECT count(*) FROM trades),
    (SELECT coalesce(sum(rows), 0) FROM segments WHERE kind = 'trades'),
    'fpa sql "select * from trades", or: fpa query trades --format csv';

-- Totals by symbol, wherever the rows lie.
CREATE VIEW rows_by_symbol AS
SELECT kind, symbol, sum(rows) AS rows, min(first_ns) AS first_ns, max(last_ns) AS last_ns, sum(in_segments) AS in_segments
FROM (
    SELECT 'quotes' AS kind, symbol, count(*) AS rows, min(ts_ns) AS first_ns, max(ts_ns) AS last_ns, 0 AS in_segments FROM quotes GROUP BY symbol
    UNION ALL
    SELECT 'trades', symbol, count(*), min(ts_ns), max(ts_ns), 0 FROM trades GROUP BY symbol
    UNION ALL
    SELECT kind, subject, sum(rows), min(first_ns), max(last_ns), sum(rows) FROM segments GROUP BY kind, subject
)
GROUP BY kind, symbol;
