-- name: note_gone
-- summary: Notes what these files say was deleted after the moment.
-- grain: workflow_id, seq
INSERT INTO wfstore.gone
SELECT workflow_id, seq, $partly
FROM read_parquet($paths)
WHERE seq > $seq
