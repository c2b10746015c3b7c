-- name: superseded
-- summary: Takes in which ids went on in later parts.
-- grain: workflow_id, from_seq
INSERT INTO wfstore.superseded
SELECT workflow_id, as_of
FROM read_parquet($paths)
