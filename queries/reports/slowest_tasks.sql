-- name: slowest_tasks
-- summary: The tasks whose last successful (else last) attempt took longest; those that only waited are left out.
-- grain: workflow_id, task_id
-- param: limit BIGINT = 20: How many rows.
-- param: workflow VARCHAR = NULL: Only workflows of this name.
-- param: task VARCHAR = NULL: Only tasks of this name.
-- param: since TIMESTAMP = NULL: Only tasks submitted from then on.
-- param: until TIMESTAMP = NULL: Only tasks submitted before then.
-- column: workflow_id VARCHAR: Id of the workflow.
-- column: workflow_name VARCHAR: Name of the workflow.
-- column: task_id VARCHAR: Id of the task.
-- column: task_name VARCHAR: Name of the task.
-- column: status VARCHAR: Where the task stands.
-- column: attempts BIGINT: How many attempts it had.
-- column: started_at TIMESTAMP: When its first attempt began, UTC.
-- column: wait_s DOUBLE: Seconds it waited for a worker.
-- column: duration_s DOUBLE: Seconds it took.
-- column: output_bytes BIGINT: Size of its pickled output, bytes.
SELECT
    workflow_id,
    workflow_name,
    task_id,
    name AS task_name,
    status,
    attempts,
    started_at,
    wait_s,
    duration_s,
    output_bytes
FROM main.tasks
WHERE duration_s IS NOT NULL
  AND type NOT IN ('timer', 'event', 'wait')
  AND ($workflow IS NULL OR workflow_name = $workflow)
  AND ($task IS NULL OR name = $task)
  AND ($since IS NULL OR submitted_at >= $since)
  AND ($until IS NULL OR submitted_at < $until)
ORDER BY duration_s DESC, workflow_id, task_id
LIMIT $limit
