-- name: attempts
-- summary: Rows of attempts out of history files.
-- grain: workflow_id, run, task_id, attempt
SELECT
    * EXCLUDE (queue_us, duration_us, started_alone, ended_alone),
    coalesce(submitted_at + to_microseconds(queue_us), started_alone) AS started_at,
    coalesce(coalesce(submitted_at + to_microseconds(queue_us), started_alone) + to_microseconds(duration_us), ended_alone) AS ended_at,
    queue_us / 1e6 AS queue_s,
    duration_us / 1e6 AS duration_s
FROM files.attempts
