-- name: tasks
-- summary: One row per task, over all runs of its workflow.
-- grain: workflow_id, task_id
SELECT
    facts.workflow_id,
    facts.task_id,
    facts.name,
    facts.defined[1] AS "function",
    facts.status,
    coalesce(facts.given[1]::VARCHAR[], []) AS upstream,
    facts.attempts,
    facts.ready_at,
    facts.ready_at AS submitted_at,
    facts.started_at,
    facts.ended_at,
    date_diff('microsecond', facts.ready_at, facts.started_at) / 1e6 AS wait_s,
    tried.duration_s,
    date_diff('microsecond', facts.started_at, facts.ended_at) / 1e6 AS elapsed_s,
    facts.output_bytes,
    facts.said[1] AS output_repr,
    facts.said[2]::BOOLEAN AS checkpointed,
    facts.error_type,
    facts.error_message,
    coalesce(facts.given[2], '{}') AS metadata,
    facts.retries,
    facts.defined[2] AS creator,
    coalesce(facts.given[3], '{}') AS options,
    coalesce(facts.defined[3], 'function') AS type,
    make_timestamp((coalesce(facts.next_attempt, facts.timer) ->> '$.due_at')::BIGINT) AS due_at,
    flow.name AS workflow_name,
    facts.defined_seq,
    (facts.told ->> '$.progress')::DOUBLE AS progress,
    facts.told ->> '$.progress_message' AS progress_message,
    facts.told -> '$.progress_metrics' AS progress_metrics,
    coalesce(facts.defined[4], facts.defined[1]) AS task_key,
    CASE WHEN facts.recoded IS NULL THEN facts.defined[5] ELSE facts.recoded ->> '$.code' END AS code_hash
FROM (
    SELECT
        *,
        -- several paths at once: JSON is parsed once for all of them
        json_extract_string(definition, ['$.function', '$.creator', '$.type', '$.key', '$.code']) AS defined,
        json_extract(definition, ['$.upstream', '$.metadata', '$.options']) AS given,
        json_extract_string(outcome, ['$.output_repr', '$.checkpointed']) AS said
    FROM wfstore.task_facts
) AS facts
JOIN wfstore.workflow_facts AS flow ON flow.workflow_id = facts.workflow_id
LEFT JOIN (
    SELECT
        workflow_id,
        task_id,
        coalesce(
            arg_max(CASE WHEN status = 'SUCCESSFUL' THEN duration_s END, submitted_seq),
            arg_max_null(duration_s, submitted_seq)
        ) AS duration_s
    FROM (
        SELECT
            workflow_id,
            task_id,
            status,
            submitted_seq,
            date_diff('microsecond', started_at, ended_at) / 1e6 AS duration_s
        FROM wfstore.attempt_facts
    )
    GROUP BY workflow_id, task_id
) AS tried ON tried.workflow_id = facts.workflow_id AND tried.task_id = facts.task_id
