-- The ledger: ranges of time of which a source has delivered all it has. Entries of undone batches do not count.
CREATE TABLE coverage (
    kind text COLLATE "C" NOT NULL, subject text COLLATE "C" NOT NULL, bar_interval text COLLATE "C", origin text COLLATE "C" NOT NULL,
    start_ns bigint NOT NULL, end_ns bigint NOT NULL, rows bigint NOT NULL, batch bigint NOT NULL
);
CREATE INDEX coverage_by_subject ON coverage (subject, kind);
CREATE INDEX coverage_by_batch ON coverage (batch);
