-- Who changed what and when; the hash of each entry covers the one before. Rows are not copied: the history has them, by the batch.
CREATE TABLE audit_log (
    seq bigint PRIMARY KEY, ts_ns bigint NOT NULL, action text COLLATE "C" NOT NULL, user_name text COLLATE "C" NOT NULL,
    host text COLLATE "C" NOT NULL, process bigint NOT NULL, program text COLLATE "C" NOT NULL, batch bigint,
    details text COLLATE "C" NOT NULL, hash text COLLATE "C" NOT NULL
);
