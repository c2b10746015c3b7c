-- name: queue_waits
-- summary: How long attempts stood in Ray's queue before they began; tasks that only wait hold no place in it.
-- grain: workflow_name, task_name
-- param: workflow VARCHAR = NULL: Only workflows of this name.
-- param: task VARCHAR = NULL: Only tasks of this name.
-- param: since TIMESTAMP = NULL: Only attempts submitted from then on.
-- param: until TIMESTAMP = NULL: Only attempts submitted before then.
-- param: limit BIGINT = NULL: How many rows.
-- column: workflow_name VARCHAR: Name of the workflows.
-- column: task_name VARCHAR: Name of the tasks.
-- column: n BIGINT: How many attempts began.
-- column: p50_s DOUBLE: Median, seconds.
-- column: p95_s DOUBLE: 95th percentile, seconds.
-- column: p99_s DOUBLE: 99th percentile, seconds.
-- column: max_s DOUBLE: The longest, seconds.
-- column: total_s DOUBLE: All of them, seconds.
-- column: busy_s DOUBLE: Seconds that those of them which ended took after it, summed.
-- column: longest_workflow_id VARCHAR: The workflow of the longest.
-- column: longest_task_id VARCHAR: The task of the longest.
SELECT
    workflow_name,
    task_name,
    n,
    quantiles_us[1] / 1e6 AS p50_s,
    quantiles_us[2] / 1e6 AS p95_s,
    quantiles_us[3] / 1e6 AS p99_s,
    max_s,
    total_s,
    busy_s,
    longest_workflow_id,
    longest_task_id
FROM (
    SELECT
        workflow_name,
        task_name,
        count(*) AS n,
        -- all at once: each call would keep all values of its own
        quantile_cont(queue_us, [0.5, 0.95, 0.99]) AS quantiles_us,
        max(queue_us) / 1e6 AS max_s,
        sum(queue_us) / 1e6 AS total_s,
        coalesce(sum(busy_us), 0) / 1e6 AS busy_s,
        arg_max(workflow_id, (queue_us, -submitted_seq)) AS longest_workflow_id,
        arg_max(task_id, (queue_us, -submitted_seq)) AS longest_task_id
    FROM (
        SELECT
            workflow_name,
            task_name,
            workflow_id,
            task_id,
            submitted_seq,
            round(queue_s * 1e6)::BIGINT AS queue_us,
            round(duration_s * 1e6)::BIGINT AS busy_us
        FROM main.attempts
        WHERE queue_s IS NOT NULL
          AND task_type NOT IN ('timer', 'event', 'wait')
          AND ($workflow IS NULL OR workflow_name = $workflow)
          AND ($task IS NULL OR task_name = $task)
          AND ($since IS NULL OR submitted_at >= $since)
          AND ($until IS NULL OR submitted_at < $until)
    )
    GROUP BY workflow_name, task_name
)
ORDER BY total_s DESC, workflow_name, task_name
LIMIT $limit
