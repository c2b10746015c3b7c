-- name: where_time_goes
-- summary: What the time of attempts went to, summed: waiting for other tasks, for admission, for a retry, for Ray, fetching arguments, user code, waiting on purpose, storing outputs; attempts under way are not counted.
-- grain: workflow_name, and task_key or workflow_id
-- param: id VARCHAR = NULL: Only this workflow.
-- param: workflow VARCHAR = NULL: Only workflows of this name.
-- param: by VARCHAR(task|workflow) = task: A row for each task_key (task) or for each workflow (workflow).
-- param: since TIMESTAMP = NULL: Only attempts submitted from then on.
-- param: until TIMESTAMP = NULL: Only attempts submitted before then.
-- param: limit BIGINT = NULL: How many rows.
-- column: workflow_name VARCHAR: Name of the workflows.
-- column: workflow_id VARCHAR: Id of the workflow, where it is the only one.
-- column: task_key VARCHAR: As in tasks; NULL in a row for a whole workflow.
-- column: attempts BIGINT: How many attempts it was summed from.
-- column: total_s DOUBLE: The eight columns that follow, summed, seconds; what went on side by side is counted side by side.
-- column: dependency_s DOUBLE: As in time_spent: for what it needs of other tasks.
-- column: admission_s DOUBLE: In the queue of workflows.
-- column: backoff_s DOUBLE: From the end of the attempt before to this one.
-- column: ray_queue_s DOUBLE: From Ray's hands until a worker had it.
-- column: fetch_s DOUBLE: Getting arguments.
-- column: user_s DOUBLE: User code.
-- column: waiting_s DOUBLE: Timers, events and waits.
-- column: checkpoint_s DOUBLE: Storing outputs.
-- column: user_share DOUBLE: user_s as a share of total_s without waiting_s, 0 to 1.
WITH spent AS (
    SELECT
        workflow_name,
        CASE WHEN $id IS NOT NULL OR $by = 'workflow' THEN any_value(workflow_id) END AS workflow_id,
        CASE WHEN $by = 'task' THEN task_key END AS task_key,
        count(*) AS attempts,
        sum(round(dependency_s * 1e6)::BIGINT)::BIGINT AS dependency_us,
        sum(round(admission_s * 1e6)::BIGINT)::BIGINT AS admission_us,
        sum(round(backoff_s * 1e6)::BIGINT)::BIGINT AS backoff_us,
        sum(round(ray_queue_s * 1e6)::BIGINT)::BIGINT AS ray_queue_us,
        sum(round(fetch_s * 1e6)::BIGINT)::BIGINT AS fetch_us,
        sum(round(user_s * 1e6)::BIGINT)::BIGINT AS user_us,
        sum(round(waiting_s * 1e6)::BIGINT)::BIGINT AS waiting_us,
        sum(round(checkpoint_s * 1e6)::BIGINT)::BIGINT AS checkpoint_us
    FROM main.time_spent
    WHERE total_s IS NOT NULL
      AND ($id IS NULL OR workflow_id = $id)
      AND ($workflow IS NULL OR workflow_name = $workflow)
      AND ($since IS NULL OR submitted_at >= $since)
      AND ($until IS NULL OR submitted_at < $until)
    GROUP BY
        workflow_name,
        CASE WHEN $by = 'task' THEN task_key END,
        CASE WHEN $by = 'workflow' THEN workflow_id END
    HAVING CASE WHEN $by IN ('task', 'workflow') THEN true ELSE error('by is task or workflow, not ' || $by) END
),
summed AS (
    SELECT
        *,
        dependency_us + admission_us + backoff_us + ray_queue_us + fetch_us + user_us + waiting_us + checkpoint_us
            AS total_us
    FROM spent
)
SELECT
    workflow_name,
    workflow_id,
    task_key,
    attempts,
    total_us / 1e6 AS total_s,
    dependency_us / 1e6 AS dependency_s,
    admission_us / 1e6 AS admission_s,
    backoff_us / 1e6 AS backoff_s,
    ray_queue_us / 1e6 AS ray_queue_s,
    fetch_us / 1e6 AS fetch_s,
    user_us / 1e6 AS user_s,
    waiting_us / 1e6 AS waiting_s,
    checkpoint_us / 1e6 AS checkpoint_s,
    user_us / nullif(total_us - waiting_us, 0) AS user_share
FROM summed
ORDER BY total_us DESC, workflow_name, task_key, workflow_id
LIMIT $limit
