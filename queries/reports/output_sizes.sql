-- name: output_sizes
-- summary: How large the pickled outputs of each task name are.
-- grain: workflow_name, task_name
-- param: workflow VARCHAR = NULL: Only workflows of this name.
-- param: task VARCHAR = NULL: Only tasks of this name.
-- param: since TIMESTAMP = NULL: Only tasks submitted from then on.
-- param: until TIMESTAMP = NULL: Only tasks submitted before then.
-- param: limit BIGINT = NULL: How many rows.
-- column: workflow_name VARCHAR: Name of the workflows.
-- column: task_name VARCHAR: Name of the tasks.
-- column: n BIGINT: How many outputs.
-- column: p50_bytes BIGINT: Median, bytes.
-- column: p99_bytes BIGINT: 99th percentile, bytes.
-- column: max_bytes BIGINT: The largest, bytes.
-- column: total_bytes BIGINT: All of them, bytes.
SELECT
    workflow_name,
    task_name,
    n,
    quantiles[1] AS p50_bytes,
    quantiles[2] AS p99_bytes,
    max_bytes,
    total_bytes
FROM (
    SELECT
        workflow_name,
        name AS task_name,
        count(*) AS n,
        -- all at once: each call would keep all values of its own
        quantile_disc(output_bytes, [0.5, 0.99]) AS quantiles,
        max(output_bytes) AS max_bytes,
        sum(output_bytes)::BIGINT AS total_bytes
    FROM main.tasks
    WHERE output_bytes IS NOT NULL
      AND ($workflow IS NULL OR workflow_name = $workflow)
      AND ($task IS NULL OR name = $task)
      AND ($since IS NULL OR submitted_at >= $since)
      AND ($until IS NULL OR submitted_at < $until)
    GROUP BY workflow_name, name
)
ORDER BY total_bytes DESC, workflow_name, task_name
LIMIT $limit
