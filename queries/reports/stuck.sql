-- name: stuck
-- summary: Attempts that run longer than 99 % of the successful ones of their task name did, the worst first; tasks that only wait are left out.
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
-- column: n BIGINT: How many successful attempts it is compared with.
-- column: p50_s DOUBLE: Their median, seconds.
-- column: p99_s DOUBLE: Their 99th percentile, seconds.
-- column: times_p99 DOUBLE: running_s as a multiple of p99_s.
-- column: node_id VARCHAR: The node that it runs on.
-- column: worker_pid INTEGER: The process that it runs in.
WITH begun AS MATERIALIZED (
    SELECT
        attempt.workflow_id,
        attempt.run,
        attempt.task_id,
        attempt.attempt,
        attempt.started_at,
        attempt.node_id,
        attempt.worker_pid,
        attempt.submitted_seq,
        flow.name AS workflow_name,
        task.name AS task_name,
        date_diff('microsecond', attempt.started_at, coalesce($at, now()::TIMESTAMP)) AS running_us
    FROM main.attempts AS attempt
    JOIN main.workflows AS flow ON flow.workflow_id = attempt.workflow_id
    JOIN main.tasks AS task ON task.workflow_id = attempt.workflow_id AND task.task_id = attempt.task_id
    WHERE attempt.status = 'RUNNING'
      AND flow.status = 'RUNNING'
      AND attempt.started_at IS NOT NULL
      AND task.type NOT IN ('timer', 'event', 'wait')
      AND ($workflow IS NULL OR flow.name = $workflow)
      AND ($task IS NULL OR task.name = $task)
),
past AS (
    SELECT
        flow.name AS workflow_name,
        task.name AS task_name,
        count(*) AS n,
        quantile_cont(round(attempt.duration_s * 1e6)::BIGINT, [0.5, 0.99]) AS usual_us
    FROM main.tasks AS task
    JOIN main.workflows AS flow ON flow.workflow_id = task.workflow_id
    JOIN main.attempts AS attempt ON attempt.workflow_id = task.workflow_id AND attempt.task_id = task.task_id
    WHERE attempt.status = 'SUCCESSFUL'
      AND attempt.duration_s IS NOT NULL
      AND ($since IS NULL OR attempt.submitted_at >= $since)
      AND task.name IN (SELECT task_name FROM begun)
      AND (flow.name, task.name) IN (SELECT (workflow_name, task_name) FROM begun)
    GROUP BY flow.name, task.name
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
    past.n,
    past.usual_us[1] / 1e6 AS p50_s,
    past.usual_us[2] / 1e6 AS p99_s,
    begun.running_us / nullif(past.usual_us[2], 0) AS times_p99,
    begun.node_id,
    begun.worker_pid
FROM begun
JOIN past ON past.workflow_name = begun.workflow_name AND past.task_name = begun.task_name
WHERE past.n >= $min_runs
  AND begun.running_us > past.usual_us[2]
ORDER BY times_p99 DESC, begun.submitted_seq
LIMIT $limit
