-- name: running_longest
-- summary: What has been running longest.
-- grain: workflow_id, task_id
SELECT workflow_id, task_id, name, attempts, started_at, now()::TIMESTAMP - started_at AS running
FROM tasks
WHERE status IN ('RUNNING', 'RETRYING')
ORDER BY started_at
LIMIT 20
