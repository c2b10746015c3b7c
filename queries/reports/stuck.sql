-- name: stuck
-- summary: Attempts that run longer than 99 % of the successful ones of their task_key did, the worst first; tasks that only wait are left out.
-- grain: workflow_id, run, task_id, attempt
-- param: workflow VARCHAR = NULL: Only workflows of this name.
-- param: task VARCHAR = NULL: Only tasks of this name.
-- param: since TIMESTAMP = NULL: Compare with attempts submitted from then on.
-- param: at TIMESTAMP = NULL: How it stands at that moment; without it now.
-- param: min_runs BIGINT = 5: With how many attempts there must be to compare.
-- param: limit BIGINT = NULL: How many rows.
-- column: workflow_id VARCHAR: Id of the workflow.
-- column: workflow_name VARCHAR: Name of the workflow.
-- column: run INTEGER: Which execution of the workflow.
-- column: task_id VARCHAR: Id of the task.
-- column: task_name VARCHAR: Name of the task.
-- column: attempt INTEGER: Which attempt in that run.
-- column: started_at TIMESTAMP: When it began, by the worker's clock, UTC.
-- column: running_s DOUBLE: Seconds it has been running.
-- column: task_key VARCHAR: As in tasks: what it is compared by within workflows of its name; the task's name where it has none.
-- column: n BIGINT: How many successful attempts it is compared with.
-- column: compared_from TIMESTAMP: When the first of them was submitted, UTC.
-- column: compared_until TIMESTAMP: When the last of them was submitted, UTC.
-- column: p50_s DOUBLE: Their median, seconds.
-- column: p99_s DOUBLE: Their 99th percentile, seconds.
-- column: times_p99 DOUBLE: running_s as a multiple of p99_s.
-- column: node_id VARCHAR: The node that it runs on.
-- column: worker_pid INTEGER: The process that it runs in.
WITH begun AS MATERIALIZED (
    SELECT
        workflow_id,
        run,
        task_id,
        attempt,
        started_at,
        node_id,
        worker_pid,
        submitted_seq,
        workflow_name,
        task_name,
        coalesce(task_key, task_name) AS task_key,
        date_diff('microsecond', started_at, coalesce($at, now()::TIMESTAMP)) AS running_us
    FROM main.attempts
    WHERE status = 'RUNNING'
      AND workflow_id IN (SELECT workflow_id FROM main.workflows WHERE status = 'RUNNING')
      AND started_at IS NOT NULL
      AND task_type NOT IN ('timer', 'event', 'wait')
      AND ($workflow IS NULL OR workflow_name = $workflow)
      AND ($task IS NULL OR task_name = $task)
),
past AS (
    SELECT
        workflow_name,
        coalesce(task_key, task_name) AS compared_by,
        count(*) AS n,
        min(submitted_at) AS compared_from,
        max(submitted_at) AS compared_until,
        quantile_cont(round(duration_s * 1e6)::BIGINT, [0.5, 0.99]) AS usual_us
    FROM main.attempts
    WHERE status = 'SUCCESSFUL'
      AND duration_s IS NOT NULL
      AND ($since IS NULL OR submitted_at >= $since)
      AND (workflow_name, coalesce(task_key, task_name)) IN (SELECT (workflow_name, task_key) FROM begun)
    GROUP BY workflow_name, compared_by
)
SELECT
    begun.workflow_id,
    begun.workflow_name,
    begun.run,
    begun.task_id,
    begun.task_name,
    begun.attempt,
    begun.started_at,
    begun.running_us / 1e6 AS running_s,
    begun.task_key,
    past.n,
    past.compared_from,
    past.compared_until,
    past.usual_us[1] / 1e6 AS p50_s,
    past.usual_us[2] / 1e6 AS p99_s,
    begun.running_us / nullif(past.usual_us[2], 0) AS times_p99,
    begun.node_id,
    begun.worker_pid
FROM begun
JOIN past ON past.workflow_name = begun.workflow_name AND past.compared_by = begun.task_key
WHERE past.n >= $min_runs
  AND begun.running_us > past.usual_us[2]
ORDER BY times_p99 DESC, begun.submitted_seq
LIMIT $limit
