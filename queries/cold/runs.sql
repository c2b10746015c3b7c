-- name: runs
-- summary: Rows of runs out of history files.
-- grain: workflow_id, run
SELECT
    * EXCLUDE (ended_as, duration_us),
    coalesce(ended_as, wfstore.shown('RUNNING', (SELECT alive FROM wfstore.lease))) AS outcome,
    duration_us / 1e6 AS duration_s
FROM files.runs
