-- name: sizes_over_time
-- summary: How large the pickled outputs of each task name were, in each span of time, by when the attempts ended.
-- grain: bucket, workflow_name, task_name
-- param: bucket INTERVAL = 1d: Length of a span.
-- param: workflow VARCHAR = NULL: Only workflows of this name.
-- param: task VARCHAR = NULL: Only tasks of this name.
-- param: since TIMESTAMP = NULL: Only attempts that ended from then on.
-- param: until TIMESTAMP = NULL: Only attempts that ended before then.
-- param: limit BIGINT = NULL: How many task names, those with the most bytes in sum.
-- column: bucket TIMESTAMP: Beginning of the span, UTC.
-- column: workflow_name VARCHAR: Name of the workflows.
-- column: task_name VARCHAR: Name of the tasks.
-- column: n BIGINT: How many outputs.
-- column: p50_bytes BIGINT: Median, bytes.
-- column: p95_bytes BIGINT: 95th percentile, bytes.
-- column: max_bytes BIGINT: The largest, bytes.
-- column: total_bytes BIGINT: All of them, bytes.
WITH span AS MATERIALIZED (
    SELECT
        time_bucket($bucket::INTERVAL, ended_at) AS bucket,
        workflow_name,
        task_name,
        count(*) AS n,
        -- all at once: each call would keep all values of its own
        quantile_disc(output_bytes, [0.5, 0.95]) AS quantiles,
        max(output_bytes) AS max_bytes,
        sum(output_bytes)::BIGINT AS total_bytes
    FROM main.attempts
    WHERE output_bytes IS NOT NULL
      AND ended_at IS NOT NULL
      AND ($workflow IS NULL OR workflow_name = $workflow)
      AND ($task IS NULL OR task_name = $task)
      AND ($since IS NULL OR ended_at >= $since)
      AND ($until IS NULL OR ended_at < $until)
    GROUP BY ALL
)
SELECT
    bucket,
    workflow_name,
    task_name,
    n,
    quantiles[1] AS p50_bytes,
    quantiles[2] AS p95_bytes,
    max_bytes,
    total_bytes
FROM span
SEMI JOIN (
    SELECT workflow_name, task_name
    FROM span
    GROUP BY workflow_name, task_name
    ORDER BY sum(total_bytes) DESC, workflow_name, task_name
    LIMIT $limit
) AS most USING (workflow_name, task_name)
ORDER BY bucket, workflow_name, task_name
