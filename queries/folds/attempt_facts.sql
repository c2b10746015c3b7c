-- name: attempt_facts
-- summary: What the log says about each attempt.
-- grain: workflow_id, run, task_id, attempt
SELECT
    workflow_id,
    run,
    task_id,
    attempt,
    arg_max(status, seq) AS status,
    arg_max(CASE WHEN type = 'attempt.failed' THEN kind END, seq) AS kind,
    arg_min(CASE WHEN type = 'attempt.submitted' THEN ts END, seq) AS submitted_at,
    arg_min(CASE WHEN type = 'attempt.started' THEN coalesce(ts_source, ts) END, seq) AS started_at,
    arg_max(
        CASE WHEN type IN ('attempt.succeeded', 'attempt.failed') THEN coalesce(ts_source, ts) END,
        seq
    ) AS ended_at,
    arg_max(CASE WHEN type = 'attempt.succeeded' THEN bytes END, seq) AS output_bytes,
    arg_max(node_id, seq) AS node_id,
    arg_max(worker_pid, seq) AS worker_pid,
    arg_max(ray_task_id, seq) AS ray_task_id,
    arg_max(error_type, seq) AS error_type,
    arg_max(error_message, seq) AS error_message,
    arg_min(CASE WHEN type = 'attempt.submitted' THEN attributes END, seq) AS request,
    arg_max(CASE WHEN type IN ('attempt.succeeded', 'attempt.failed') THEN attributes END, seq) AS outcome,
    arg_min(CASE WHEN type = 'attempt.submitted' THEN hash END, seq) AS changed_hash,
    arg_max_null(
        CASE WHEN contains(attributes::VARCHAR, '"progress":') THEN attributes END,
        CASE WHEN type IN ('attempt.progressed', 'attempt.succeeded', 'attempt.failed') THEN seq END
    ) AS told,
    min(seq) AS submitted_seq
FROM wfstore.visible
WHERE type IN (
    'attempt.submitted', 'attempt.started', 'attempt.progressed', 'attempt.succeeded', 'attempt.failed'
)
GROUP BY workflow_id, run, task_id, attempt
