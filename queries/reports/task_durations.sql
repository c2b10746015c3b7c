-- name: task_durations
-- summary: How long the successful attempts of each task name take, in percentiles.
-- grain: workflow_name, task_name
-- param: workflow VARCHAR = NULL: Only workflows of this name.
-- param: task VARCHAR = NULL: Only tasks of this name.
-- param: since TIMESTAMP = NULL: Only attempts submitted from then on.
-- param: until TIMESTAMP = NULL: Only attempts submitted before then.
-- param: limit BIGINT = NULL: How many rows.
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
    workflow_name,
    task_name,
    n,
    quantiles_us[1] / 1e6 AS p50_s,
    quantiles_us[2] / 1e6 AS p90_s,
    quantiles_us[3] / 1e6 AS p95_s,
    quantiles_us[4] / 1e6 AS p99_s,
    max_s,
    total_s
FROM (
    SELECT
        workflow_name,
        task_name,
        count(*) AS n,
        -- all at once: each call would keep all values of its own
        quantile_cont(duration_us, [0.5, 0.9, 0.95, 0.99]) AS quantiles_us,
        max(duration_us) / 1e6 AS max_s,
        sum(duration_us) / 1e6 AS total_s
    FROM (
        SELECT
            workflow_name,
            task_name,
            round(duration_s * 1e6)::BIGINT AS duration_us
        FROM main.attempts
        WHERE status = 'SUCCESSFUL'
          AND duration_s IS NOT NULL
          AND ($workflow IS NULL OR workflow_name = $workflow)
          AND ($task IS NULL OR task_name = $task)
          AND ($since IS NULL OR submitted_at >= $since)
          AND ($until IS NULL OR submitted_at < $until)
    )
    GROUP BY workflow_name, task_name
)
ORDER BY total_s DESC, workflow_name, task_name
LIMIT $limit
