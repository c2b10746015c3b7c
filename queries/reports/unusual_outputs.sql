-- name: unusual_outputs
-- summary: Outputs of a size that their task_key never had before: far above the largest, below the smallest, or beyond 99.9 % of them; the strangest first.
-- grain: workflow_id, run, task_id, attempt
-- param: since TIMESTAMP = 1d: Look at attempts submitted from then on, and compare with those before.
-- param: until TIMESTAMP = NULL: Look at attempts submitted before then only.
-- param: factor DOUBLE = 2: How many times as large as the largest, or how many times smaller than the smallest.
-- param: min_runs BIGINT = 20: With how many outputs there must be to compare.
-- param: workflow VARCHAR = NULL: Only workflows of this name.
-- param: task VARCHAR = NULL: Only tasks of this name.
-- param: limit BIGINT = 100: How many rows.
-- column: workflow_id VARCHAR: Id of the workflow.
-- column: workflow_name VARCHAR: Name of the workflow.
-- column: run INTEGER: Which execution of the workflow.
-- column: task_id VARCHAR: Id of the task.
-- column: task_key VARCHAR: As in tasks: what it is compared by within workflows of its name; the task's name where it has none.
-- column: attempt INTEGER: Which attempt in that run.
-- column: ended_at TIMESTAMP: When it ended, UTC.
-- column: output_bytes BIGINT: Size of its pickled output, bytes.
-- column: how VARCHAR: above max, below min, or beyond p99.9: above max is said first.
-- column: times DOUBLE: How many times as large as the bound it is; below 1 where it is smaller.
-- column: n BIGINT: How many outputs it is compared with.
-- column: min_bytes BIGINT: The smallest of them, bytes.
-- column: p50_bytes BIGINT: Their median, bytes.
-- column: p999_bytes BIGINT: 99.9 % of them are not larger, bytes.
-- column: max_bytes BIGINT: The largest, bytes.
-- column: compared_from TIMESTAMP: When the first of them was submitted, UTC.
-- column: compared_until TIMESTAMP: When the last of them was submitted, UTC.
WITH kept AS NOT MATERIALIZED (
    SELECT
        workflow_id,
        workflow_name,
        run,
        task_id,
        coalesce(task_key, task_name) AS task_key,
        attempt,
        submitted_at,
        submitted_seq,
        ended_at,
        output_bytes
    FROM main.attempts
    WHERE status = 'SUCCESSFUL'
      AND output_bytes IS NOT NULL
      AND ($workflow IS NULL OR workflow_name = $workflow)
      AND ($task IS NULL OR task_name = $task)
),
recent AS MATERIALIZED (
    SELECT *
    FROM kept
    WHERE submitted_at >= $since
      AND ($until IS NULL OR submitted_at < $until)
),
past AS (
    SELECT
        workflow_name,
        task_key,
        count(*) AS n,
        -- both at once: each call would keep all values of its own
        quantile_disc(output_bytes, [0.5, 0.999]) AS usual_bytes,
        min(output_bytes) AS min_bytes,
        max(output_bytes) AS max_bytes,
        min(submitted_at) AS compared_from,
        max(submitted_at) AS compared_until
    FROM kept
    WHERE submitted_at < $since
      AND (workflow_name, task_key) IN (SELECT (workflow_name, task_key) FROM recent)
    GROUP BY workflow_name, task_key
),
judged AS (
    SELECT
        recent.*,
        past.* EXCLUDE (workflow_name, task_key),
        CASE
            WHEN recent.output_bytes > past.max_bytes * $factor THEN 'above max'
            WHEN recent.output_bytes * $factor < past.min_bytes THEN 'below min'
            WHEN recent.output_bytes > past.usual_bytes[2] * $factor THEN 'beyond p99.9'
        END AS how
    FROM recent
    JOIN past ON past.workflow_name = recent.workflow_name AND past.task_key = recent.task_key
    WHERE past.n >= $min_runs
)
SELECT
    workflow_id,
    workflow_name,
    run,
    task_id,
    task_key,
    attempt,
    ended_at,
    output_bytes,
    how,
    output_bytes / nullif(
        CASE how WHEN 'above max' THEN max_bytes WHEN 'below min' THEN min_bytes ELSE usual_bytes[2] END, 0
    ) AS times,
    n,
    min_bytes,
    usual_bytes[1] AS p50_bytes,
    usual_bytes[2] AS p999_bytes,
    max_bytes,
    compared_from,
    compared_until
FROM judged
WHERE how IS NOT NULL
ORDER BY how = 'beyond p99.9', abs(ln(nullif(times, 0))) DESC NULLS FIRST, submitted_seq DESC
LIMIT $limit
