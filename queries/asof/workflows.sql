-- name: workflows
-- summary: Facts about the workflows of a part that nothing happened to after the moment.
-- grain: workflow_id
SELECT * EXCLUDE (as_of)
FROM read_parquet($paths)
WHERE last_seq <= $seq
