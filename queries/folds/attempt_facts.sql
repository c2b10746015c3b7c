-- name: attempt_facts
-- summary: What the log says about each attempt.
-- grain: workflow_id, run, task_id, attempt
SELECT
    workflow_id,
    run,
    task_id,
    attempt,
    arg_max(status, seq) AS status,
    arg_max(kind, seq) FILTER (type = 'attempt.failed') AS kind,
    arg_min(ts, seq) FILTER (type = 'attempt.submitted') AS submitted_at,
    arg_min(coalesce(ts_source, ts), seq) FILTER (type = 'attempt.started') AS started_at,
    arg_max(coalesce(ts_source, ts), seq) FILTER (type IN ('attempt.succeeded', 'attempt.failed')) AS ended_at,
    arg_max(bytes, seq) FILTER (type = 'attempt.succeeded') AS output_bytes,
    arg_max(node_id, seq) AS node_id,
    arg_max(worker_pid, seq) AS worker_pid,
    arg_max(ray_task_id, seq) AS ray_task_id,
    arg_max(error_type, seq) AS error_type,
    arg_max(error_message, seq) AS error_message,
    arg_min(attributes, seq) FILTER (type = 'attempt.submitted') AS request,
    arg_max(attributes, seq) FILTER (type IN ('attempt.succeeded', 'attempt.failed')) AS outcome,
    arg_min(hash, seq) FILTER (type = 'attempt.submitted') AS changed_hash,
    arg_max_null(CASE WHEN contains(attributes::VARCHAR, '"progress":') THEN attributes END, seq)
        FILTER (type IN ('attempt.progressed', 'attempt.succeeded', 'attempt.failed')) AS told,
    min(seq) AS submitted_seq
FROM wfstore.visible
WHERE type IN (
    'attempt.submitted', 'attempt.started', 'attempt.progressed', 'attempt.succeeded', 'attempt.failed'
)
GROUP BY workflow_id, run, task_id, attempt
