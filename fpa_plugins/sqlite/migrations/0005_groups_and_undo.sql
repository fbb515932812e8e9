-- Each group of a stream is a batch of its own, a child of the stream's batch, recorded when it was committed.
-- A batch that undoes another says which.
ALTER TABLE batches RENAME COLUMN source TO origin;
ALTER TABLE batches ADD COLUMN parent INTEGER;
ALTER TABLE batches ADD COLUMN undoes INTEGER;
CREATE INDEX batches_by_parent ON batches (parent) WHERE parent IS NOT NULL;
UPDATE batches SET undoes = (SELECT b.id FROM batches b WHERE b.undone_by = batches.id AND b.replays IS NULL ORDER BY b.id LIMIT 1)
    WHERE origin GLOB 'undo:[0-9]*';

-- A row that an undo restores keeps the batch that brought it; since says which batch restored it.
ALTER TABLE quotes ADD COLUMN since INTEGER;
ALTER TABLE quotes_history ADD COLUMN since INTEGER;
ALTER TABLE trades ADD COLUMN since INTEGER;
ALTER TABLE trades_history ADD COLUMN since INTEGER;
ALTER TABLE bars ADD COLUMN since INTEGER;
ALTER TABLE bars_history ADD COLUMN since INTEGER;
ALTER TABLE orders ADD COLUMN since INTEGER;
ALTER TABLE orders_history ADD COLUMN since INTEGER;
ALTER TABLE positions ADD COLUMN since INTEGER;
ALTER TABLE positions_history ADD COLUMN since INTEGER;
ALTER TABLE snapshots ADD COLUMN since INTEGER;
ALTER TABLE snapshots_history ADD COLUMN since INTEGER;

-- Which stored rows a batch was recognised as, at times at which it also has rejected rows: who replays these counts on it.
CREATE TABLE quarantine_matches (
    batch INTEGER NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    ts_ns INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    owner INTEGER NOT NULL
) STRICT;
CREATE INDEX quarantine_matches_by_batch ON quarantine_matches (batch);
