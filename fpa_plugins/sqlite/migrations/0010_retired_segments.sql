-- Sealed rows of the history: segments that a batch retired as a whole. Their bytes stay in segment_contents, and they keep their ids.
-- Unlike live segments they may overlap in time.
CREATE TABLE retired_segments (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    first_ns INTEGER NOT NULL,
    last_ns INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    first_batch INTEGER NOT NULL,
    last_batch INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    last_row TEXT NOT NULL,
    checksum BLOB NOT NULL,
    retired_by INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX retired_segments_by_time ON retired_segments (kind, subject, last_ns);
CREATE INDEX retired_segments_by_batch ON retired_segments (retired_by);
