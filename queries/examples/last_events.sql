-- name: last_events
-- summary: The last events of the log.
-- grain: seq
SELECT seq, ts, type, workflow_id, task_id, status
FROM events
ORDER BY seq DESC
LIMIT 50
