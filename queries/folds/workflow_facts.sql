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
        arg_min(CASE WHEN type = 'workflow.submitted' THEN name END, seq) AS name,
        arg_max(status, seq) AS decided,
        arg_min(CASE WHEN type = 'workflow.submitted' THEN ts END, seq) AS submitted_at,
        min(CASE WHEN type = 'workflow.submitted' THEN seq END) AS submitted_seq,
        arg_min(CASE WHEN type = 'workflow.submitted' THEN attributes END, seq) AS submission,
        arg_max(CASE WHEN type = 'workflow.canceled' THEN ts END, seq) AS canceled_at,
        arg_max(CASE WHEN type = 'workflow.succeeded' THEN bytes END, seq) AS output_bytes,
        arg_max_null(error_type, CASE WHEN type = 'workflow.failed' THEN seq END) AS failure_type,
        arg_max_null(error_message, CASE WHEN type = 'workflow.failed' THEN seq END) AS failure_message,
        arg_max_null(attributes, CASE WHEN type = 'workflow.failed' THEN seq END) AS failure,
        arg_max(CASE WHEN type IN ('workflow.submitted', 'workflow.metadata_set') THEN attributes END, seq) AS described
    FROM wfstore.visible
    WHERE task_id IS NULL
    GROUP BY workflow_id
) AS facts
CROSS JOIN wfstore.lease AS lease
