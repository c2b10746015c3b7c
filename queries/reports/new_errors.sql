-- name: new_errors
-- summary: Kinds of error that nobody had before: type and fingerprint first seen since then, the most frequent first; lost and canceled attempts are not counted.
-- grain: error_type, fingerprint
-- param: since TIMESTAMP = 1d: From when on an error is new: none of its kind had ended before.
-- param: until TIMESTAMP = NULL: Look at attempts that ended before then only.
-- param: workflow VARCHAR = NULL: Only workflows of this name.
-- param: min_runs BIGINT = 20: How many attempts must have ended before, so that there is something to compare with.
-- param: limit BIGINT = 100: How many rows.
-- column: error_type VARCHAR: Type of the error.
-- column: fingerprint VARCHAR: The message without what differs each time, as in the report failures.
-- column: n BIGINT: How many attempts failed with it.
-- column: workflows BIGINT: In how many workflows.
-- column: first_at TIMESTAMP: When it was seen first, UTC.
-- column: last_at TIMESTAMP: When it was seen last, UTC.
-- column: first_workflow_id VARCHAR: The workflow in which it was seen first.
-- column: first_task_id VARCHAR: The task in which it was seen first.
-- column: last_workflow_id VARCHAR: The workflow in which it was seen last.
-- column: last_task_id VARCHAR: The task in which it was seen last.
-- column: last_message VARCHAR: Message of the error seen last.
-- column: compared_attempts BIGINT: How many attempts had ended before since; none of them failed like this.
-- column: compared_failures BIGINT: How many of them had failed.
-- column: compared_from TIMESTAMP: When the first of them ended, UTC.
WITH failed AS MATERIALIZED (
    SELECT error_type, error_message, workflow_id, task_id, ended_at, submitted_seq
    FROM main.attempts
    WHERE status = 'FAILED'
      AND kind IS DISTINCT FROM 'lost'
      AND ($workflow IS NULL OR workflow_name = $workflow)
      AND ($until IS NULL OR ended_at < $until)
),
-- many share a message, and it is long work
printed AS (
    SELECT error_message, wfstore.fingerprint(error_message) AS fingerprint
    FROM (SELECT DISTINCT error_message FROM failed)
),
past AS MATERIALIZED (
    SELECT
        count(*) AS compared_attempts,
        count(*) FILTER (status = 'FAILED' AND kind IS DISTINCT FROM 'lost') AS compared_failures,
        min(ended_at) AS compared_from
    FROM main.attempts
    WHERE ended_at < $since AND ($workflow IS NULL OR workflow_name = $workflow)
),
kinds AS (
    SELECT
        failed.error_type,
        printed.fingerprint,
        count(*) AS n,
        count(DISTINCT failed.workflow_id) AS workflows,
        min(failed.ended_at) AS first_at,
        max(failed.ended_at) AS last_at,
        arg_min(failed.workflow_id, (failed.ended_at, failed.submitted_seq)) AS first_workflow_id,
        arg_min(failed.task_id, (failed.ended_at, failed.submitted_seq)) AS first_task_id,
        arg_max(failed.workflow_id, (failed.ended_at, failed.submitted_seq)) AS last_workflow_id,
        arg_max(failed.task_id, (failed.ended_at, failed.submitted_seq)) AS last_task_id,
        arg_max(failed.error_message, (failed.ended_at, failed.submitted_seq)) AS last_message
    FROM failed
    LEFT JOIN printed ON printed.error_message = failed.error_message
    GROUP BY failed.error_type, printed.fingerprint
)
SELECT kinds.*, past.compared_attempts, past.compared_failures, past.compared_from
FROM kinds
CROSS JOIN past
WHERE kinds.first_at >= $since
  AND past.compared_attempts >= $min_runs
ORDER BY kinds.n DESC, kinds.last_at DESC, kinds.error_type, kinds.fingerprint
LIMIT $limit
