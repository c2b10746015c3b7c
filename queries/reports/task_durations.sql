-- name: task_durations
-- summary: How long the successful attempts of each task name take, in percentiles.
-- grain: workflow_name, task_name
-- param: workflow VARCHAR = NULL: Only workflows of this name.
-- param: since TIMESTAMP = NULL: Only attempts submitted from then on.
-- column: workflow_name VARCHAR: Name of the workflows.
-- column: task_name VARCHAR: Name of the tasks.
-- column: n BIGINT: How many successful attempts.
-- column: p50_s DOUBLE: Median, seconds.
-- column: p90_s DOUBLE: 90th percentile, seconds.
-- column: p95_s DOUBLE: 95th percentile, seconds.
-- column: p99_s DOUBLE: 99th percentile, seconds.
-- column: max_s DOUBLE: The longest, seconds.
-- column: total_s DOUBLE: All of them, seconds.
SELECT
    flow.name AS workflow_name,
    task.name AS task_name,
    count(*) AS n,
    quantile_cont(attempt.duration_s, 0.5) AS p50_s,
    quantile_cont(attempt.duration_s, 0.9) AS p90_s,
    quantile_cont(attempt.duration_s, 0.95) AS p95_s,
    quantile_cont(attempt.duration_s, 0.99) AS p99_s,
    max(attempt.duration_s) AS max_s,
    sum(attempt.duration_s) AS total_s
FROM main.attempts AS attempt
JOIN main.tasks AS task ON task.workflow_id = attempt.workflow_id AND task.task_id = attempt.task_id
JOIN main.workflows AS flow ON flow.workflow_id = attempt.workflow_id
WHERE attempt.status = 'SUCCESSFUL'
  AND attempt.duration_s IS NOT NULL
  AND ($workflow IS NULL OR flow.name = $workflow)
  AND ($since IS NULL OR attempt.submitted_at >= $since)
GROUP BY flow.name, task.name
ORDER BY total_s DESC, workflow_name, task_name
