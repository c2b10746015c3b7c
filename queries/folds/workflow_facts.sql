-- name: workflow_facts
-- summary: What the log says about each workflow itself, apart from its runs and tasks.
-- grain: workflow_id
SELECT
    facts.*,
    wfstore.shown(facts.decided, lease.alive) AS status,
    -- an error belongs to the decision that failed the workflow: the next decision ends it
    CASE WHEN facts.decided = 'FAILED' THEN facts.failure_type END AS error_type,
    CASE WHEN facts.decided = 'FAILED' THEN facts.failure_message END AS error_message,
    CASE WHEN facts.decided = 'FAILED' THEN facts.failure ->> '$.failed_task_id' END AS failed_task_id
FROM (
    SELECT
        workflow_id,
        arg_min(name, seq) FILTER (type = 'workflow.submitted') AS name,
        arg_max(status, seq) AS decided,
        arg_min(ts, seq) FILTER (type = 'workflow.submitted') AS submitted_at,
        arg_min(seq, seq) FILTER (type = 'workflow.submitted') AS submitted_seq,
        arg_min(attributes, seq) FILTER (type = 'workflow.submitted') AS submission,
        arg_max(ts, seq) FILTER (type = 'workflow.canceled') AS canceled_at,
        arg_max(bytes, seq) FILTER (type = 'workflow.succeeded') AS output_bytes,
        arg_max_null(error_type, seq) FILTER (type = 'workflow.failed') AS failure_type,
        arg_max_null(error_message, seq) FILTER (type = 'workflow.failed') AS failure_message,
        arg_max_null(attributes, seq) FILTER (type = 'workflow.failed') AS failure,
        arg_max(attributes, seq) FILTER (type IN ('workflow.submitted', 'workflow.metadata_set')) AS described
    FROM wfstore.visible
    WHERE task_id IS NULL
    GROUP BY workflow_id
) AS facts
CROSS JOIN wfstore.lease AS lease
