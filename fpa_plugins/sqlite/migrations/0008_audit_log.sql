-- Who changed what and when; the hash of each entry covers the one before. Rows are not copied: the history has them, by the batch.
CREATE TABLE audit_log (
    seq INTEGER PRIMARY KEY,
    ts_ns INTEGER NOT NULL,
    action TEXT NOT NULL,
    user_name TEXT NOT NULL,
    host TEXT NOT NULL,
    process INTEGER NOT NULL,
    program TEXT NOT NULL,
    batch INTEGER,
    details TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;
