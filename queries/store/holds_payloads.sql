-- name: holds_payloads
-- summary: A value of a workflow whose values are kept no longer, where the files hold one.
-- grain: at most one row
SELECT pack.seq
FROM read_parquet($paths) AS pack
JOIN wfstore.no_payloads AS gone ON gone.workflow_id = pack.workflow_id
LIMIT 1
