-- name: deleted
-- summary: Which ids were deleted, and by which event last, out of history files.
-- grain: workflow_id
SELECT workflow_id, max(seq) AS seq
FROM read_parquet($paths)
GROUP BY workflow_id
