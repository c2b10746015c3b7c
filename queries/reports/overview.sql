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
    SELECT workflow_id, status, submitted_at, tasks, attempts, retries, total_output_bytes
    FROM main.workflows
    WHERE ($workflow IS NULL OR name = $workflow)
      AND ($since IS NULL OR submitted_at >= $since)
      AND ($until IS NULL OR submitted_at < $until)
),
attempt AS (
    SELECT
        count(*) FILTER (status = 'FAILED') AS failed_attempts,
        -- whole numbers, so that the order of the rows cannot show in the sum
        coalesce(sum(round(duration_s * 1e6)::BIGINT), 0) / 1e6 AS busy_s,
        min(ended_at) AS first_ended_at,
        max(ended_at) AS last_ended_at
    FROM main.attempts
    WHERE workflow_id IN (SELECT workflow_id FROM flow)
)
SELECT
    count(*) AS workflows,
    count(*) FILTER (status = 'SUCCESSFUL') AS succeeded,
    count(*) FILTER (status = 'FAILED') AS failed,
    count(*) FILTER (status = 'CANCELED') AS canceled,
    count(*) FILTER (status = 'RESUMABLE') AS resumable,
    count(*) FILTER (status IN ('RUNNING', 'PENDING')) AS active,
    coalesce(sum(tasks), 0)::BIGINT AS tasks,
    coalesce(sum(attempts), 0)::BIGINT AS attempts,
    coalesce(sum(retries), 0)::BIGINT AS retries,
    (SELECT failed_attempts FROM attempt) AS failed_attempts,
    (SELECT busy_s FROM attempt) AS busy_s,
    coalesce(sum(total_output_bytes), 0)::BIGINT AS output_bytes,
    min(submitted_at) AS first_at,
    max(submitted_at) AS last_at,
    (SELECT first_ended_at FROM attempt) AS first_ended_at,
    (SELECT last_ended_at FROM attempt) AS last_ended_at
FROM flow
