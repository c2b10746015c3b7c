-- name: open
-- summary: Notes the ids that had begun by the moment and went on after it: their rows are worked out anew.
-- grain: workflow_id
INSERT INTO wfstore.touched
SELECT workflow_id, NULL, true
FROM read_parquet($paths)
WHERE first_seq <= $seq
  AND last_seq > $seq
  AND workflow_id NOT IN (SELECT workflow_id FROM wfstore.gone WHERE partly)
RETURNING workflow_id
