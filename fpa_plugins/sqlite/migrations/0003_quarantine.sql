-- A refused row can be put in, fixed or discarded, by a batch, which can be undone: so the quarantine has a history, as all else has.
-- A batch that puts refused rows of an earlier one into the tables says which. Rows that come again are found by their text.

ALTER TABLE batches ADD COLUMN replays INTEGER;
CREATE INDEX batches_by_replayed ON batches (replays) WHERE replays IS NOT NULL;

ALTER TABLE quarantine ADD COLUMN cells TEXT;
ALTER TABLE quarantine ADD COLUMN changed_by INTEGER;
CREATE INDEX quarantine_by_raw ON quarantine (raw);
CREATE INDEX quarantine_by_change ON quarantine (changed_by) WHERE changed_by IS NOT NULL;

CREATE TABLE quarantine_history (
    record INTEGER NOT NULL,
    state TEXT NOT NULL,
    findings TEXT NOT NULL,
    changed_by INTEGER,
    retired_by INTEGER NOT NULL
) STRICT;
CREATE INDEX quarantine_history_by_batch ON quarantine_history (retired_by);

UPDATE quarantine SET changed_by = (SELECT undone_by FROM batches WHERE id = quarantine.batch) WHERE state = 'undone';
INSERT INTO quarantine_history SELECT id, 'open', findings, NULL, changed_by FROM quarantine WHERE changed_by IS NOT NULL;
