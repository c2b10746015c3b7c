-- name: failures
-- summary: Failed attempts by task name and kind of message, the most frequent first; lost and canceled ones are not counted.
-- grain: workflow_name, task_name, error_type, fingerprint
-- param: workflow VARCHAR = NULL: Only workflows of this name.
-- param: task VARCHAR = NULL: Only tasks of this name.
-- param: since TIMESTAMP = NULL: Only attempts submitted from then on.
-- param: until TIMESTAMP = NULL: Only attempts submitted before then.
-- param: limit BIGINT = NULL: How many rows.
-- column: workflow_name VARCHAR: Name of the workflows.
-- column: task_name VARCHAR: Name of the tasks.
-- column: error_type VARCHAR: Type of the error.
-- column: fingerprint VARCHAR: The message without what differs each time: numbers, hex, paths, quoted text; its first 1,000 characters.
-- column: n BIGINT: How many attempts failed with it.
-- column: workflows BIGINT: In how many workflows.
-- column: first_at TIMESTAMP: When it was seen first, UTC.
-- column: last_at TIMESTAMP: When it was seen last, UTC.
-- column: last_workflow_id VARCHAR: The workflow in which it was seen last.
-- column: last_task_id VARCHAR: The task in which it was seen last.
-- column: last_message VARCHAR: Message of the error seen last.
WITH failed AS MATERIALIZED (
    SELECT
        workflow_name,
        task_name,
        error_type,
        error_message,
        workflow_id,
        task_id,
        ended_at,
        submitted_seq
    FROM main.attempts
    WHERE status = 'FAILED'
      AND kind IS DISTINCT FROM 'lost'
      AND ($workflow IS NULL OR workflow_name = $workflow)
      AND ($task IS NULL OR task_name = $task)
      AND ($since IS NULL OR submitted_at >= $since)
      AND ($until IS NULL OR submitted_at < $until)
),
-- many share a message, and it is long work
printed AS (
    SELECT error_message, wfstore.fingerprint(error_message) AS fingerprint
    FROM (SELECT DISTINCT error_message FROM failed)
)
SELECT
    failed.workflow_name,
    failed.task_name,
    failed.error_type,
    printed.fingerprint,
    count(*) AS n,
    count(DISTINCT failed.workflow_id) AS workflows,
    min(failed.ended_at) AS first_at,
    max(failed.ended_at) AS last_at,
    arg_max(failed.workflow_id, failed.submitted_seq) AS last_workflow_id,
    arg_max(failed.task_id, failed.submitted_seq) AS last_task_id,
    arg_max(failed.error_message, failed.submitted_seq) AS last_message
FROM failed
LEFT JOIN printed ON printed.error_message = failed.error_message
GROUP BY failed.workflow_name, failed.task_name, failed.error_type, printed.fingerprint
ORDER BY n DESC, last_at DESC, workflow_name, task_name, error_type, fingerprint
LIMIT $limit
