-- name: slowest_names
-- summary: Task names by the time that was spent on them, with percentiles of their durations.
-- grain: workflow_name, task_name
SELECT
    workflow_name,
    task_name,
    count(*) AS attempts,
    sum(duration_s) AS total_s,
    quantile_cont(duration_s, 0.5) AS p50_s,
    quantile_cont(duration_s, 0.95) AS p95_s
FROM attempts
WHERE status = 'SUCCESSFUL'
GROUP BY workflow_name, task_name
ORDER BY total_s DESC
LIMIT 20
