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
    (facts.request ->> '$.num_cpus')::DOUBLE AS num_cpus,
    (facts.request ->> '$.num_gpus')::DOUBLE AS num_gpus,
    facts.error_type,
    facts.error_message,
    facts.outcome ->> '$.traceback' AS traceback,
    (facts.outcome ->> '$.fetch_s')::DOUBLE AS fetch_s,
    (facts.outcome ->> '$.checkpoint_s')::DOUBLE AS checkpoint_s,
    facts.request AS resources,
    facts.outcome ->> '$.stdout' AS stdout,
    facts.outcome ->> '$.stderr' AS stderr,
    coalesce(facts.changed_hash, task.function_hash) AS function_hash,
    task.name AS task_name,
    coalesce(task.definition ->> '$.type', 'function') AS task_type,
    flow.name AS workflow_name,
    facts.submitted_seq,
    (facts.told ->> '$.progress')::DOUBLE AS progress,
    facts.told ->> '$.progress_message' AS progress_message,
    facts.told -> '$.progress_metrics' AS progress_metrics,
    coalesce(task.definition ->> '$.key', task.definition ->> '$.function') AS task_key
FROM wfstore.attempt_facts AS facts
LEFT JOIN wfstore.task_facts AS task ON task.workflow_id = facts.workflow_id AND task.task_id = facts.task_id
LEFT JOIN wfstore.workflow_facts AS flow ON flow.workflow_id = facts.workflow_id
