-- name: durations_over_time
-- summary: How long the successful attempts of each task name took, in each span of time; tasks that only wait are left out.
-- grain: bucket, workflow_name, task_name
-- param: bucket INTERVAL = 1d: Length of a span.
-- param: workflow VARCHAR = NULL: Only workflows of this name.
-- param: task VARCHAR = NULL: Only tasks of this name.
-- param: since TIMESTAMP = NULL: Only attempts that ended from then on.
-- param: until TIMESTAMP = NULL: Only attempts that ended before then.
-- param: limit BIGINT = NULL: How many task names, those that took most in sum.
-- column: bucket TIMESTAMP: Beginning of the span, UTC.
-- column: workflow_name VARCHAR: Name of the workflows.
-- column: task_name VARCHAR: Name of the tasks.
-- column: n BIGINT: How many successful attempts ended in the span.
-- column: p50_s DOUBLE: Median, seconds.
-- column: p95_s DOUBLE: 95th percentile, seconds.
-- column: max_s DOUBLE: The longest, seconds.
-- column: total_s DOUBLE: All of them, seconds.
WITH span AS MATERIALIZED (
    SELECT
        bucket,
        workflow_name,
        task_name,
        count(*) AS n,
        -- all at once: each call would keep all values of its own
        quantile_cont(duration_us, [0.5, 0.95]) AS quantiles_us,
        max(duration_us) / 1e6 AS max_s,
        sum(duration_us) AS total_us
    FROM (
        SELECT
            time_bucket($bucket::INTERVAL, ended_at) AS bucket,
            workflow_name,
            task_name,
            round(duration_s * 1e6)::BIGINT AS duration_us
        FROM main.attempts
        WHERE status = 'SUCCESSFUL'
          AND duration_s IS NOT NULL
          AND task_type NOT IN ('timer', 'event', 'wait')
          AND ($workflow IS NULL OR workflow_name = $workflow)
          AND ($task IS NULL OR task_name = $task)
          AND ($since IS NULL OR ended_at >= $since)
          AND ($until IS NULL OR ended_at < $until)
    )
    GROUP BY bucket, workflow_name, task_name
)
SELECT
    bucket,
    workflow_name,
    task_name,
    n,
    quantiles_us[1] / 1e6 AS p50_s,
    quantiles_us[2] / 1e6 AS p95_s,
    max_s,
    total_us / 1e6 AS total_s
FROM span
SEMI JOIN (
    SELECT workflow_name, task_name
    FROM span
    GROUP BY workflow_name, task_name
    ORDER BY sum(total_us) DESC, workflow_name, task_name
    LIMIT $limit
) AS most USING (workflow_name, task_name)
ORDER BY bucket, workflow_name, task_name
