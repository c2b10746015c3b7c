-- name: similar_errors
-- summary: Failed attempts with one fingerprint, and those whose error has the same type and a message much like it, the most similar first; lost and canceled ones are not counted.
-- grain: workflow_id, run, task_id, attempt
-- param: fingerprint VARCHAR = NULL: A fingerprint as in the reports failures and new_errors, or a message; without it that of the last failure.
-- param: error_type VARCHAR = NULL: Near ones of this type; without it of the types that have exactly this fingerprint, of any where none has.
-- param: min_similarity DOUBLE = 0.9: From which similarity on a message is near, 0 to 1.
-- param: each BIGINT = 5: How many attempts of each fingerprint, the last ones.
-- param: since TIMESTAMP = NULL: Only attempts submitted from then on.
-- param: until TIMESTAMP = NULL: Only attempts submitted before then.
-- param: limit BIGINT = 100: How many rows.
-- column: similarity DOUBLE: Of the fingerprints, by Jaro and Winkler, 0 to 1; 1 where they are the same.
-- column: error_type VARCHAR: Type of the error.
-- column: fingerprint VARCHAR: The message without what differs each time, as in the report failures.
-- column: workflow_id VARCHAR: Id of the workflow.
-- column: workflow_name VARCHAR: Name of the workflow.
-- column: run INTEGER: Which execution of the workflow.
-- column: task_id VARCHAR: Id of the task.
-- column: task_key VARCHAR: As in tasks; the task's name where it has none.
-- column: attempt INTEGER: Which attempt in that run.
-- column: ended_at TIMESTAMP: When it ended, UTC.
-- column: error_message VARCHAR: Message of its error.
-- column: n BIGINT: How many attempts failed with this type and fingerprint.
-- column: first_at TIMESTAMP: When the first of those ended, UTC.
-- column: compared BIGINT: How many failed attempts there were to compare with.
WITH failed AS MATERIALIZED (
    SELECT
        error_type,
        error_message,
        workflow_id,
        workflow_name,
        run,
        task_id,
        coalesce(task_key, task_name) AS task_key,
        attempt,
        ended_at,
        submitted_seq
    FROM main.attempts
    WHERE status = 'FAILED'
      AND kind IS DISTINCT FROM 'lost'
      AND error_message IS NOT NULL
      AND ($since IS NULL OR submitted_at >= $since)
      AND ($until IS NULL OR submitted_at < $until)
),
-- many share a message, and it is long work
printed AS (
    SELECT error_message, wfstore.fingerprint(error_message) AS fingerprint
    FROM (SELECT DISTINCT error_message FROM failed)
),
wanted AS MATERIALIZED (
    SELECT
        coalesce($fingerprint, last_message) AS said,
        wfstore.fingerprint(coalesce($fingerprint, last_message)) AS fingerprint
    FROM (SELECT arg_max(error_message, (ended_at, submitted_seq)) AS last_message FROM failed)
),
kinds AS MATERIALIZED (
    SELECT
        failed.error_type,
        printed.fingerprint,
        count(*) AS n,
        min(failed.ended_at) AS first_at,
        -- a fingerprint may look different when it is taken once more
        any_value(printed.fingerprint = wanted.fingerprint OR printed.fingerprint = wanted.said) AS same,
        any_value(wanted.fingerprint) AS wanted
    FROM failed
    JOIN printed ON printed.error_message = failed.error_message
    CROSS JOIN wanted
    GROUP BY failed.error_type, printed.fingerprint
),
scored AS (
    SELECT
        error_type,
        fingerprint,
        n,
        first_at,
        CASE WHEN same THEN 1 ELSE jaro_winkler_similarity(fingerprint, wanted) END AS similarity
    FROM kinds
    WHERE same
       OR CASE
            WHEN $error_type IS NOT NULL THEN error_type = $error_type
            ELSE error_type IN (SELECT error_type FROM kinds WHERE same)
                OR NOT EXISTS (FROM kinds WHERE same)
        END
)
SELECT
    scored.similarity,
    scored.error_type,
    scored.fingerprint,
    failed.workflow_id,
    failed.workflow_name,
    failed.run,
    failed.task_id,
    failed.task_key,
    failed.attempt,
    failed.ended_at,
    failed.error_message,
    scored.n,
    scored.first_at,
    (SELECT count(*) FROM failed) AS compared
FROM scored
JOIN printed ON printed.fingerprint = scored.fingerprint
JOIN failed
    ON failed.error_message = printed.error_message
    AND failed.error_type IS NOT DISTINCT FROM scored.error_type
WHERE scored.similarity >= $min_similarity
QUALIFY row_number() OVER (
    PARTITION BY scored.error_type, scored.fingerprint
    ORDER BY failed.ended_at DESC, failed.submitted_seq DESC
) <= $each
ORDER BY
    scored.similarity DESC, scored.n DESC, scored.error_type, scored.fingerprint, failed.ended_at DESC,
    failed.submitted_seq DESC
LIMIT $limit
