-- name: run_facts
-- summary: When and how each run began and ended, as the log says it.
-- grain: workflow_id, run
SELECT
    *,
    -- a clock that was set back makes no negative run; greatest() alone would make 0 of an open one
    CASE WHEN ended_at IS NOT NULL THEN greatest(date_diff('microsecond', started_at, ended_at), 0) END AS duration_us
FROM (
    SELECT
        workflow_id,
        run,
        arg_min(CASE WHEN type = 'workflow.started' THEN kind END, seq) AS reason,
        arg_min(CASE WHEN type = 'workflow.started' THEN ts END, seq) AS started_at,
        arg_min(CASE WHEN type <> 'workflow.started' THEN ts END, seq) AS ended_at,
        arg_min(CASE WHEN type <> 'workflow.started' THEN status END, seq) AS ended_as,
        arg_min(CASE WHEN type = 'workflow.failed' THEN error_type END, seq) AS error_type,
        arg_min(CASE WHEN type = 'workflow.failed' THEN error_message END, seq) AS error_message
    FROM wfstore.visible
    WHERE type IN (
        'workflow.started', 'workflow.succeeded', 'workflow.failed', 'workflow.canceled', 'workflow.interrupted'
    )
    GROUP BY workflow_id, run
)
-- an id that was deleted and queued again has rows under its last run, which is hidden
WHERE started_at IS NOT NULL
