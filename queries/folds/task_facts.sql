-- name: task_facts
-- summary: What the log says about each task, apart from the lengths of its attempts.
-- grain: workflow_id, task_id
SELECT
    workflow_id,
    task_id,
    max(CASE WHEN type = 'task.defined' THEN seq END) AS defined_seq,
    arg_max(CASE WHEN type = 'task.defined' THEN name END, seq) AS name,
    arg_max(CASE WHEN type = 'task.defined' THEN attributes END, seq) AS definition,
    arg_max(CASE WHEN type = 'task.defined' THEN hash END, seq) AS function_hash,
    arg_max(CASE WHEN type = 'task.code_set' THEN attributes END, seq) AS recoded,
    arg_max(task_status, seq) AS status,
    count(CASE WHEN type = 'attempt.submitted' THEN 1 END) AS attempts,
    count(CASE WHEN type = 'attempt.submitted' AND attempt > 1 THEN 1 END) AS retries,
    arg_min(CASE WHEN type = 'attempt.submitted' THEN ts END, seq) AS ready_at,
    arg_min(CASE WHEN type = 'attempt.started' THEN coalesce(ts_source, ts) END, seq) AS started_at,
    -- a new attempt opens the task again, so the last of these rows decides, whether or not it says a time
    arg_max_null(
        CASE WHEN type <> 'attempt.submitted' THEN coalesce(ts_source, ts) END,
        CASE WHEN type IN ('attempt.submitted', 'attempt.succeeded', 'attempt.failed') THEN seq END
    ) AS ended_at,
    arg_max(CASE WHEN type IN ('attempt.succeeded', 'task.error_caught') THEN bytes END, seq) AS output_bytes,
    arg_max(CASE WHEN type = 'attempt.succeeded' AND hash IS NOT NULL THEN attributes END, seq) AS outcome,
    arg_max_null(
        error_type,
        CASE WHEN type IN ('attempt.succeeded', 'attempt.failed', 'task.error_caught') THEN seq END
    ) AS error_type,
    arg_max_null(
        error_message,
        CASE WHEN type IN ('attempt.succeeded', 'attempt.failed', 'task.error_caught') THEN seq END
    ) AS error_message,
    -- an attempt that begins is what a scheduled one was due for
    arg_max_null(
        CASE WHEN type = 'attempt.retry_scheduled' THEN attributes END,
        CASE WHEN type IN ('attempt.retry_scheduled', 'attempt.submitted') THEN seq END
    ) AS next_attempt,
    arg_max(CASE WHEN type = 'timer.started' THEN attributes END, seq) AS timer,
    -- the end of an attempt repeats what it said last; most say nothing, and their attributes are not kept for it
    arg_max_null(
        CASE WHEN contains(attributes::VARCHAR, '"progress":') THEN attributes END,
        CASE
            WHEN type IN ('attempt.submitted', 'attempt.progressed', 'attempt.succeeded', 'attempt.failed') THEN seq
        END
    ) AS told
FROM wfstore.visible
WHERE task_id IS NOT NULL
GROUP BY workflow_id, task_id
