-- name: attempts
-- summary: Rows of attempts as a history file keeps them: lengths of time instead of moments, in whole microseconds.
-- grain: workflow_id, run, task_id, attempt
SELECT
    * EXCLUDE (started_at, ended_at, queue_s, duration_s),
    date_diff('microsecond', submitted_at, started_at) AS queue_us,
    date_diff('microsecond', started_at, ended_at) AS duration_us,
    CASE WHEN submitted_at IS NULL THEN started_at END AS started_alone,
    CASE WHEN started_at IS NULL THEN ended_at END AS ended_alone
FROM hot.attempts
