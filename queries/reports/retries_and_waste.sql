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
-- column: failed BIGINT: How many failed, those lost with their owner or cluster not counted.
-- column: lost BIGINT: How many were lost with their owner or cluster.
-- column: canceled BIGINT: How many were canceled.
-- column: repeated BIGINT: How many succeeded, and the task succeeded again in a later run.
-- column: busy_s DOUBLE: Seconds that all ended attempts took, summed.
-- column: wasted_s DOUBLE: Seconds of them that brought no output in use: failed, lost, canceled or repeated.
-- column: waste_share DOUBLE: wasted_s as a share of busy_s, 0 to 1; NULL where nothing was busy.
WITH again AS MATERIALIZED (
    SELECT DISTINCT workflow_id, task_id
    FROM main.attempts
    WHERE attempt > 1 OR run > 1
),
tried AS (
    SELECT
        workflow_name,
        task_name,
        -- only where there may be a second attempt is a task a group of its own
        again.workflow_id AS again_workflow_id,
        again.task_id AS again_task_id,
        attempt.attempt,
        attempt.status,
        attempt.kind,
        attempt.submitted_seq,
        round(attempt.duration_s * 1e6)::BIGINT AS duration_us
    FROM main.attempts AS attempt
    LEFT JOIN again ON again.workflow_id = attempt.workflow_id AND again.task_id = attempt.task_id
    WHERE task_type NOT IN ('timer', 'event', 'wait')
      AND ($workflow IS NULL OR workflow_name = $workflow)
      AND ($task IS NULL OR task_name = $task)
      AND ($since IS NULL OR attempt.submitted_at >= $since)
      AND ($until IS NULL OR attempt.submitted_at < $until)
),
summed AS (
    SELECT
        workflow_name,
        task_name,
        CASE WHEN again_task_id IS NULL THEN count(*) ELSE 1 END AS tasks,
        count(*) AS attempts,
        count(*) FILTER (attempt > 1) AS retries,
        count(*) FILTER (status = 'FAILED' AND kind IS DISTINCT FROM 'lost') AS failed,
        count(*) FILTER (kind = 'lost') AS lost,
        count(*) FILTER (status = 'CANCELED') AS canceled,
        CASE
            WHEN again_task_id IS NULL THEN 0 ELSE greatest(count(*) FILTER (status = 'SUCCESSFUL') - 1, 0)
        END AS repeated,
        coalesce(sum(duration_us), 0) AS busy_us,
        coalesce(
            CASE
                WHEN again_task_id IS NULL THEN sum(duration_us) FILTER (status = 'SUCCESSFUL')
                ELSE arg_max(duration_us, submitted_seq) FILTER (status = 'SUCCESSFUL')
            END,
            0
        ) AS used_us
    FROM tried
    GROUP BY workflow_name, task_name, again_workflow_id, again_task_id
)
SELECT
    workflow_name,
    task_name,
    sum(tasks)::BIGINT AS tasks,
    sum(attempts)::BIGINT AS attempts,
    sum(retries)::BIGINT AS retries,
    sum(failed)::BIGINT AS failed,
    sum(lost)::BIGINT AS lost,
    sum(canceled)::BIGINT AS canceled,
    sum(repeated)::BIGINT AS repeated,
    sum(busy_us) / 1e6 AS busy_s,
    sum(busy_us - used_us) / 1e6 AS wasted_s,
    sum(busy_us - used_us) / nullif(sum(busy_us), 0) AS waste_share
FROM summed
GROUP BY workflow_name, task_name
ORDER BY wasted_s DESC, retries DESC, workflow_name, task_name
LIMIT $limit
