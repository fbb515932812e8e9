-- The ledger: ranges of time of which a source has delivered all it has. Entries of undone batches do not count.
CREATE TABLE coverage (
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    bar_interval TEXT,
    origin TEXT NOT NULL,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    batch INTEGER NOT NULL
) STRICT;
CREATE INDEX coverage_by_subject ON coverage (kind, subject);
CREATE INDEX coverage_by_batch ON coverage (batch);
