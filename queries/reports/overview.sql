-- name: overview
-- summary: How much there is, and how it stands: workflows submitted in the time asked for, and all that belongs to them.
-- grain: the store
-- param: workflow VARCHAR = NULL: Only workflows of this name.
-- param: since TIMESTAMP = NULL: Only workflows submitted from then on.
-- param: until TIMESTAMP = NULL: Only workflows submitted before then.
-- column: workflows BIGINT: How many workflows.
-- column: succeeded BIGINT: How many of them are SUCCESSFUL.
-- column: failed BIGINT: How many are FAILED.
-- column: canceled BIGINT: How many are CANCELED.
-- column: resumable BIGINT: How many are RESUMABLE.
-- column: active BIGINT: How many are RUNNING or PENDING.
-- column: tasks BIGINT: How many tasks they have.
-- column: attempts BIGINT: How many attempts those had.
-- column: retries BIGINT: How many of them were not the first of their task in their run.
-- column: failed_attempts BIGINT: How many failed.
-- column: busy_s DOUBLE: Seconds that the attempts of tasks took, summed; those of tasks that only wait, too.
-- column: output_bytes BIGINT: Sizes of the tasks' pickled outputs, summed, bytes.
-- column: first_at TIMESTAMP: When the first of the workflows was submitted, UTC.
-- column: last_at TIMESTAMP: When the last of them was submitted, UTC.
-- column: first_ended_at TIMESTAMP: When the first of the attempts ended, UTC.
-- column: last_ended_at TIMESTAMP: When the last of them ended, UTC.
WITH flow AS MATERIALIZED (
    SELECT workflow_id, status, submitted_at
    FROM wfstore.workflow_facts
    WHERE ($workflow IS NULL OR name = $workflow)
      AND ($since IS NULL OR submitted_at >= $since)
      AND ($until IS NULL OR submitted_at < $until)
),
task AS (
    SELECT count(*) AS tasks, coalesce(sum(output_bytes), 0)::BIGINT AS output_bytes
    FROM wfstore.task_facts
    WHERE workflow_id IN (SELECT workflow_id FROM flow)
),
attempt AS (
    SELECT
        count(*) AS attempts,
        count(*) FILTER (attempt > 1) AS retries,
        count(*) FILTER (status = 'FAILED') AS failed_attempts,
        coalesce(sum(date_diff('microsecond', started_at, ended_at)), 0) / 1e6 AS busy_s,
        min(ended_at) AS first_ended_at,
        max(ended_at) AS last_ended_at
    FROM wfstore.attempt_facts
    WHERE workflow_id IN (SELECT workflow_id FROM flow)
)
SELECT
    count(flow.workflow_id) AS workflows,
    count(*) FILTER (flow.status = 'SUCCESSFUL') AS succeeded,
    count(*) FILTER (flow.status = 'FAILED') AS failed,
    count(*) FILTER (flow.status = 'CANCELED') AS canceled,
    count(*) FILTER (flow.status = 'RESUMABLE') AS resumable,
    count(*) FILTER (flow.status IN ('RUNNING', 'PENDING')) AS active,
    (SELECT tasks FROM task) AS tasks,
    (SELECT attempts FROM attempt) AS attempts,
    (SELECT retries FROM attempt) AS retries,
    (SELECT failed_attempts FROM attempt) AS failed_attempts,
    (SELECT busy_s FROM attempt) AS busy_s,
    (SELECT output_bytes FROM task) AS output_bytes,
    min(flow.submitted_at) AS first_at,
    max(flow.submitted_at) AS last_at,
    (SELECT first_ended_at FROM attempt) AS first_ended_at,
    (SELECT last_ended_at FROM attempt) AS last_ended_at
FROM flow
