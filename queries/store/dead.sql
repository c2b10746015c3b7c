-- name: dead
-- summary: What was deleted after a seq.
-- grain: workflow_id
SELECT workflow_id, max(seq) AS seq
FROM read_parquet($paths)
WHERE seq > $purged_to
GROUP BY workflow_id
