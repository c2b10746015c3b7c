-- name: task_facts
-- summary: What the log says about each task, apart from the lengths of its attempts.
-- grain: workflow_id, task_id
SELECT
    workflow_id,
    task_id,
    arg_max(seq, seq) FILTER (type = 'task.defined') AS defined_seq,
    arg_max(name, seq) FILTER (type = 'task.defined') AS name,
    arg_max(attributes, seq) FILTER (type = 'task.defined') AS definition,
    arg_max(hash, seq) FILTER (type = 'task.defined') AS function_hash,
    arg_max(attributes, seq) FILTER (type = 'task.code_set') AS recoded,
    arg_max(task_status, seq) AS status,
    count(*) FILTER (type = 'attempt.submitted') AS attempts,
    count(*) FILTER (type = 'attempt.submitted' AND attempt > 1) AS retries,
    arg_min(ts, seq) FILTER (type = 'attempt.submitted') AS ready_at,
    arg_min(coalesce(ts_source, ts), seq) FILTER (type = 'attempt.started') AS started_at,
    -- a new attempt opens the task again, so the last of these rows decides, whether or not it says a time
    arg_max_null(CASE WHEN type <> 'attempt.submitted' THEN coalesce(ts_source, ts) END, seq)
        FILTER (type IN ('attempt.submitted', 'attempt.succeeded', 'attempt.failed')) AS ended_at,
    arg_max(bytes, seq) FILTER (type IN ('attempt.succeeded', 'task.error_caught')) AS output_bytes,
    arg_max(attributes, seq) FILTER (type = 'attempt.succeeded' AND hash IS NOT NULL) AS outcome,
    arg_max_null(error_type, seq)
        FILTER (type IN ('attempt.succeeded', 'attempt.failed', 'task.error_caught')) AS error_type,
    arg_max_null(error_message, seq)
        FILTER (type IN ('attempt.succeeded', 'attempt.failed', 'task.error_caught')) AS error_message,
    -- an attempt that begins is what a scheduled one was due for
    arg_max_null(CASE WHEN type = 'attempt.retry_scheduled' THEN attributes END, seq)
        FILTER (type IN ('attempt.retry_scheduled', 'attempt.submitted')) AS next_attempt,
    arg_max(attributes, seq) FILTER (type = 'timer.started') AS timer,
    -- the end of an attempt repeats what it said last; most say nothing, and their attributes are not kept for it
    arg_max_null(CASE WHEN contains(attributes::VARCHAR, '"progress":') THEN attributes END, seq)
        FILTER (type IN ('attempt.submitted', 'attempt.progressed', 'attempt.succeeded', 'attempt.failed')) AS told
FROM wfstore.visible
WHERE task_id IS NOT NULL
GROUP BY workflow_id, task_id
