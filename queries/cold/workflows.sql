-- name: workflows
-- summary: Rows of workflows out of history files.
-- grain: workflow_id
SELECT
    * EXCLUDE (decided, duration_us, first_seq, last_seq, run),
    wfstore.shown(decided, (SELECT alive FROM wfstore.lease)) AS status,
    date_diff('microsecond', submitted_at, started_at) / 1e6 AS queue_wait_s,
    date_diff('microsecond', submitted_at, ended_at) / 1e6 AS elapsed_s,
    duration_us / 1e6 AS duration_s
FROM files.workflows
