-- name: task_stats
-- summary: Statistics per task name within workflows of one name, over the tasks that were tried at least once.
-- grain: workflow_name, task_name
WITH tried AS (
    SELECT
        flow.name AS workflow_name,
        task.name AS task_name,
        task.workflow_id,
        task.task_id,
        task.status,
        task.retries,
        task.duration_s,
        task.output_bytes
    FROM main.tasks AS task
    JOIN main.workflows AS flow ON flow.workflow_id = task.workflow_id
    WHERE task.attempts > 0
),
queued AS (
    SELECT tried.workflow_name, tried.task_name, quantile_cont(attempt.queue_s, 0.95) AS queue_s_p95
    FROM main.attempts AS attempt
    JOIN tried ON tried.workflow_id = attempt.workflow_id AND tried.task_id = attempt.task_id
    GROUP BY tried.workflow_name, tried.task_name
)
SELECT
    tried.workflow_name,
    tried.task_name,
    count(*) AS n,
    count(*) FILTER (tried.status IN ('FAILED', 'CAUGHT')) / count(*) AS fail_rate,
    count(*) FILTER (tried.retries > 0) / count(*) AS retry_rate,
    quantile_cont(tried.duration_s, 0.5) AS duration_s_p50,
    quantile_cont(tried.duration_s, 0.95) AS duration_s_p95,
    quantile_cont(tried.duration_s, 0.99) AS duration_s_p99,
    any_value(queued.queue_s_p95) AS queue_s_p95,
    quantile_disc(tried.output_bytes, 0.5) AS output_bytes_p50,
    quantile_disc(tried.output_bytes, 0.99) AS output_bytes_p99,
    sum(tried.output_bytes)::BIGINT AS output_bytes_sum
FROM tried
LEFT JOIN queued ON queued.workflow_name = tried.workflow_name AND queued.task_name = tried.task_name
GROUP BY tried.workflow_name, tried.task_name
