-- name: retries_and_waste
-- summary: What was tried again, and how much work came to nothing; tasks that only wait are left out.
-- grain: workflow_name, task_name
-- param: workflow VARCHAR = NULL: Only workflows of this name.
-- param: task VARCHAR = NULL: Only tasks of this name.
-- param: since TIMESTAMP = NULL: Only attempts submitted from then on.
-- param: until TIMESTAMP = NULL: Only attempts submitted before then.
-- param: limit BIGINT = NULL: How many rows.
-- column: workflow_name VARCHAR: Name of the workflows.
-- column: task_name VARCHAR: Name of the tasks.
-- column: tasks BIGINT: How many tasks had an attempt.
-- column: attempts BIGINT: How many attempts they had.
-- column: retries BIGINT: How many of them were not the first of their task in their run.
-- column: failed BIGINT: How many failed, those lost with their manager not counted.
-- column: lost BIGINT: How many were lost with their manager.
-- column: canceled BIGINT: How many were canceled.
-- column: repeated BIGINT: How many succeeded, and the task succeeded again in a later run.
-- column: busy_s DOUBLE: Seconds that all ended attempts took, summed.
-- column: wasted_s DOUBLE: Seconds of them that brought no output in use: failed, lost, canceled or repeated.
-- column: waste_share DOUBLE: wasted_s as a share of busy_s, 0 to 1; NULL where nothing was busy.
SELECT
    flow.name AS workflow_name,
    task.name AS task_name,
    count(*) AS tasks,
    sum(tried.attempts)::BIGINT AS attempts,
    sum(tried.retries)::BIGINT AS retries,
    sum(tried.failed)::BIGINT AS failed,
    sum(tried.lost)::BIGINT AS lost,
    sum(tried.canceled)::BIGINT AS canceled,
    sum(greatest(tried.succeeded - 1, 0))::BIGINT AS repeated,
    sum(tried.busy_us) / 1e6 AS busy_s,
    sum(tried.busy_us - tried.used_us) / 1e6 AS wasted_s,
    sum(tried.busy_us - tried.used_us) / nullif(sum(tried.busy_us), 0) AS waste_share
FROM (
    SELECT
        workflow_id,
        task_id,
        count(*) AS attempts,
        count(*) FILTER (attempt > 1) AS retries,
        count(*) FILTER (status = 'FAILED' AND kind IS DISTINCT FROM 'lost') AS failed,
        count(*) FILTER (kind = 'lost') AS lost,
        count(*) FILTER (status = 'CANCELED') AS canceled,
        count(*) FILTER (status = 'SUCCESSFUL') AS succeeded,
        coalesce(sum(date_diff('microsecond', started_at, ended_at)), 0) AS busy_us,
        coalesce(
            arg_max(date_diff('microsecond', started_at, ended_at), submitted_seq) FILTER (status = 'SUCCESSFUL'), 0
        ) AS used_us
    FROM wfstore.attempt_facts
    WHERE ($since IS NULL OR submitted_at >= $since)
      AND ($until IS NULL OR submitted_at < $until)
    GROUP BY workflow_id, task_id
) AS tried
JOIN wfstore.task_facts AS task ON task.workflow_id = tried.workflow_id AND task.task_id = tried.task_id
JOIN wfstore.workflow_facts AS flow ON flow.workflow_id = tried.workflow_id
-- looking for the word first: most tasks are functions, whose definitions need no parsing then
WHERE (
    NOT contains(task.definition, '"type"')
    OR coalesce(task.definition ->> '$.type', 'function') NOT IN ('timer', 'event', 'wait')
)
  AND ($workflow IS NULL OR flow.name = $workflow)
  AND ($task IS NULL OR task.name = $task)
GROUP BY flow.name, task.name
ORDER BY wasted_s DESC, retries DESC, workflow_name, task_name
LIMIT $limit
