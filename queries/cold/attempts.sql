-- name: attempts
-- summary: Rows of attempts out of history files.
-- grain: workflow_id, run, task_id, attempt
SELECT
    * EXCLUDE (queue_us, duration_us, started_alone, ended_alone),
    -- whole numbers: an interval for each row takes three times as long
    coalesce(make_timestamp(epoch_us(submitted_at) + queue_us), started_alone) AS started_at,
    coalesce(
        make_timestamp(coalesce(epoch_us(submitted_at) + queue_us, epoch_us(started_alone)) + duration_us),
        ended_alone
    ) AS ended_at,
    queue_us / 1e6 AS queue_s,
    duration_us / 1e6 AS duration_s
FROM files.attempts
