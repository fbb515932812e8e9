-- Sealed rows of the history: segments that a batch retired as a whole. Their bytes stay in segment_contents, and they keep their ids.
-- Unlike live segments they may overlap in time.
CREATE TABLE retired_segments (
    id bigint NOT NULL, kind text COLLATE "C" NOT NULL, subject text COLLATE "C" NOT NULL, first_ns bigint NOT NULL,
    last_ns bigint NOT NULL, rows bigint NOT NULL, first_batch bigint NOT NULL, last_batch bigint NOT NULL, bytes bigint NOT NULL,
    last_row text COLLATE "C" NOT NULL, checksum bytea NOT NULL, retired_by bigint NOT NULL, reason text COLLATE "C" NOT NULL
);
CREATE INDEX retired_segments_by_id ON retired_segments (id);
CREATE INDEX retired_segments_by_kind ON retired_segments (kind, subject, last_ns);
CREATE INDEX retired_segments_by_batch ON retired_segments (retired_by);
