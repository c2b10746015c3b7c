-- name: tasks
-- summary: Rows of tasks out of history files.
-- grain: workflow_id, task_id
SELECT
    * EXCLUDE (wait_us, elapsed_us, idle_us, started_alone, ended_alone),
    ready_at AS submitted_at,
    -- as in attempts
    coalesce(make_timestamp(epoch_us(ready_at) + wait_us), started_alone) AS started_at,
    coalesce(
        make_timestamp(coalesce(epoch_us(ready_at) + wait_us, epoch_us(started_alone)) + elapsed_us),
        ended_alone
    ) AS ended_at,
    wait_us / 1e6 AS wait_s,
    elapsed_us / 1e6 AS elapsed_s,
    (coalesce(elapsed_us, 0) - idle_us) / 1e6 AS duration_s
FROM files.tasks
