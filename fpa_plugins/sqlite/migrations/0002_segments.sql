-- Sealed rows: quotes and trades in columnar segments. The catalog is apart from the contents, so that it can be searched without them.
-- Segments of one kind and subject never overlap in time, and no time is in two of them.

CREATE TABLE segments (
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
    checksum BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX segments_by_time ON segments (kind, subject, last_ns);

CREATE TABLE segment_contents (
    id INTEGER PRIMARY KEY,
    content BLOB NOT NULL
) STRICT;
