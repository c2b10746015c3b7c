-- name: holds_dead
-- summary: A row from before its workflow was deleted, where the files hold one.
-- grain: at most one row
SELECT event.seq
FROM read_parquet($paths) AS event
JOIN wfstore.dead AS dead ON dead.workflow_id = event.workflow_id
WHERE dead.seq > event.seq
LIMIT 1
