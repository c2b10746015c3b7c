-- name: attempts
-- summary: One row per attempt at a task. Retries and resumes add rows, nothing is overwritten.
-- grain: workflow_id, run, task_id, attempt
SELECT
    facts.workflow_id,
    facts.run,
    facts.task_id,
    facts.attempt,
    facts.status,
    facts.kind,
    facts.submitted_at,
    facts.started_at,
    facts.ended_at,
    date_diff('microsecond', facts.submitted_at, facts.started_at) / 1e6 AS queue_s,
    date_diff('microsecond', facts.started_at, facts.ended_at) / 1e6 AS duration_s,
    facts.output_bytes,
    facts.node_id,
    facts.worker_pid,
    facts.ray_task_id,
    facts.asked[1]::DOUBLE AS num_cpus,
    facts.asked[2]::DOUBLE AS num_gpus,
    facts.error_type,
    facts.error_message,
    facts.said[1] AS traceback,
    facts.said[2]::DOUBLE AS fetch_s,
    facts.said[3]::DOUBLE AS checkpoint_s,
    facts.request AS resources,
    facts.said[4] AS stdout,
    facts.said[5] AS stderr,
    coalesce(facts.changed_hash, task.function_hash) AS function_hash,
    task.name AS task_name,
    coalesce(task.defined[1], 'function') AS task_type,
    flow.name AS workflow_name,
    facts.submitted_seq,
    (facts.told ->> '$.progress')::DOUBLE AS progress,
    facts.told ->> '$.progress_message' AS progress_message,
    facts.told -> '$.progress_metrics' AS progress_metrics,
    coalesce(task.defined[2], task.defined[3]) AS task_key
FROM (
    SELECT
        *,
        -- several paths at once: JSON is parsed once for all of them
        json_extract_string(request, ['$.num_cpus', '$.num_gpus']) AS asked,
        json_extract_string(
            outcome, ['$.traceback', '$.fetch_s', '$.checkpoint_s', '$.stdout', '$.stderr']
        ) AS said
    FROM wfstore.attempt_facts
) AS facts
LEFT JOIN (
    SELECT
        workflow_id,
        task_id,
        name,
        function_hash,
        json_extract_string(definition, ['$.type', '$.key', '$.function']) AS defined
    FROM wfstore.task_facts
) AS task ON task.workflow_id = facts.workflow_id AND task.task_id = facts.task_id
LEFT JOIN wfstore.workflow_facts AS flow ON flow.workflow_id = facts.workflow_id
