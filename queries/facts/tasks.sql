-- name: tasks
-- summary: Rows of tasks as a history file keeps them: lengths of time instead of moments, in whole microseconds.
-- grain: workflow_id, task_id
SELECT
    * EXCLUDE (submitted_at, started_at, ended_at, wait_s, elapsed_s, duration_s),
    date_diff('microsecond', ready_at, started_at) AS wait_us,
    date_diff('microsecond', started_at, ended_at) AS elapsed_us,
    -- of one attempt this is 0, which takes no room
    coalesce(date_diff('microsecond', started_at, ended_at), 0) - round(duration_s * 1e6)::BIGINT AS idle_us,
    CASE WHEN ready_at IS NULL THEN started_at END AS started_alone,
    CASE WHEN started_at IS NULL THEN ended_at END AS ended_alone
FROM hot.tasks
