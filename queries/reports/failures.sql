-- name: failures
-- summary: Failed attempts by task name and error, the most frequent first; lost and canceled ones are not counted.
-- grain: workflow_name, task_name, error_type
-- param: workflow VARCHAR = NULL: Only workflows of this name.
-- param: since TIMESTAMP = NULL: Only attempts submitted from then on.
-- column: workflow_name VARCHAR: Name of the workflows.
-- column: task_name VARCHAR: Name of the tasks.
-- column: error_type VARCHAR: Type of the error.
-- column: n BIGINT: How many attempts failed with it.
-- column: workflows BIGINT: In how many workflows.
-- column: last_at TIMESTAMP: When it was seen last, UTC.
-- column: last_workflow_id VARCHAR: The workflow in which it was seen last.
-- column: last_message VARCHAR: Message of the error seen last.
SELECT
    flow.name AS workflow_name,
    task.name AS task_name,
    attempt.error_type,
    count(*) AS n,
    count(DISTINCT attempt.workflow_id) AS workflows,
    max(attempt.ended_at) AS last_at,
    arg_max(attempt.workflow_id, attempt.submitted_seq) AS last_workflow_id,
    arg_max(attempt.error_message, attempt.submitted_seq) AS last_message
FROM main.attempts AS attempt
JOIN main.tasks AS task ON task.workflow_id = attempt.workflow_id AND task.task_id = attempt.task_id
JOIN main.workflows AS flow ON flow.workflow_id = attempt.workflow_id
WHERE attempt.status = 'FAILED'
  AND attempt.kind IS DISTINCT FROM 'lost'
  AND ($workflow IS NULL OR flow.name = $workflow)
  AND ($since IS NULL OR attempt.submitted_at >= $since)
GROUP BY flow.name, task.name, attempt.error_type
ORDER BY n DESC, last_at DESC, workflow_name, task_name
