-- name: task_stats
-- summary: Statistics per task name within workflows of one name, over the tasks that were tried at least once.
-- grain: workflow_name, task_name
WITH queued AS (
    SELECT workflow_name, task_name, quantile_cont(queue_s, 0.95) AS queue_s_p95
    FROM main.attempts
    GROUP BY workflow_name, task_name
),
tried AS (
    SELECT
        workflow_name,
        name AS task_name,
        count(*) AS n,
        count(*) FILTER (status IN ('FAILED', 'CAUGHT')) AS failed,
        count(*) FILTER (retries > 0) AS retried,
        quantile_cont(duration_s, [0.5, 0.95, 0.99]) AS duration_s,
        quantile_disc(output_bytes, [0.5, 0.99]) AS output_bytes,
        sum(output_bytes)::BIGINT AS output_bytes_sum
    FROM main.tasks
    WHERE attempts > 0
    GROUP BY workflow_name, name
)
SELECT
    tried.workflow_name,
    tried.task_name,
    tried.n,
    tried.failed / tried.n AS fail_rate,
    tried.retried / tried.n AS retry_rate,
    tried.duration_s[1] AS duration_s_p50,
    tried.duration_s[2] AS duration_s_p95,
    tried.duration_s[3] AS duration_s_p99,
    queued.queue_s_p95,
    tried.output_bytes[1] AS output_bytes_p50,
    tried.output_bytes[2] AS output_bytes_p99,
    tried.output_bytes_sum
FROM tried
LEFT JOIN queued ON queued.workflow_name = tried.workflow_name AND queued.task_name = tried.task_name
