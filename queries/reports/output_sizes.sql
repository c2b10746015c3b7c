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
        flow.name AS workflow_name,
        task.name AS task_name,
        count(*) AS n,
        -- all at once: each call would keep all values of its own
        quantile_disc(task.output_bytes, [0.5, 0.99]) AS quantiles,
        max(task.output_bytes) AS max_bytes,
        sum(task.output_bytes)::BIGINT AS total_bytes
    FROM main.tasks AS task
    JOIN main.workflows AS flow ON flow.workflow_id = task.workflow_id
    WHERE task.output_bytes IS NOT NULL
      AND ($workflow IS NULL OR flow.name = $workflow)
      AND ($task IS NULL OR task.name = $task)
      AND ($since IS NULL OR task.submitted_at >= $since)
      AND ($until IS NULL OR task.submitted_at < $until)
    GROUP BY flow.name, task.name
)
ORDER BY total_bytes DESC, workflow_name, task_name
LIMIT $limit
