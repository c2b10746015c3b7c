-- name: actor_calls
-- summary: One row per call of a method of a virtual actor; its construction is the call of __init__.
-- grain: actor_id, call_seq
WITH said AS (
    SELECT
        workflow_id,
        task_id,
        arg_min(CASE WHEN type = 'task.defined' THEN ts END, seq) AS called_at,
        arg_min(CASE WHEN type = 'task.defined' THEN "by" END, seq) AS caller,
        arg_max(CASE WHEN type IN ('attempt.succeeded', 'task.continued', 'task.error_caught') THEN type END, seq)
            = 'task.continued' AS continued,
        coalesce(
            arg_max(
                CASE WHEN type IN ('actor.call_started', 'actor.call_succeeded', 'actor.call_failed') THEN type END,
                seq
            ) = 'actor.call_succeeded',
            false
        ) AS over
    FROM wfstore.visible
    WHERE task_id IS NOT NULL
      AND workflow_id IN (SELECT workflow_id FROM wfstore.actor_facts)
      AND type IN (
          'task.defined', 'attempt.succeeded', 'task.continued', 'task.error_caught',
          'actor.call_started', 'actor.call_succeeded', 'actor.call_failed'
      )
    GROUP BY workflow_id, task_id
),
written AS (
    SELECT
        task.*,
        said.called_at,
        said.caller,
        fact.definition ->> '$.facts.method' AS method,
        flow.decided,
        -- its method has returned a workflow, and that has not ended: how it stands is how the call stands
        task.status = 'SUCCESSFUL' AND said.continued AND NOT said.over AS below,
        flow.error_type AS flow_error_type,
        flow.error_message AS flow_error_message
    FROM hot.tasks AS task
    JOIN said ON said.workflow_id = task.workflow_id AND said.task_id = task.task_id
    JOIN wfstore.task_facts AS fact ON fact.workflow_id = task.workflow_id AND fact.task_id = task.task_id
    JOIN wfstore.workflow_facts AS flow ON flow.workflow_id = task.workflow_id
    WHERE task.type = 'actor'
)
SELECT
    workflow_id AS actor_id,
    task_id,
    name,
    method,
    'writer' AS kind,
    CASE
        WHEN NOT below OR decided = 'SUCCESSFUL' THEN status
        WHEN decided IN ('FAILED', 'CANCELED') THEN decided
        WHEN decided = 'RESUMABLE' THEN 'PENDING'
        ELSE 'RUNNING'
    END AS status,
    called_at AS submitted_at,
    started_at,
    ended_at,
    duration_s,
    attempts,
    CASE WHEN below THEN flow_error_type ELSE error_type END AS error_type,
    CASE WHEN below THEN flow_error_message ELSE error_message END AS error_message,
    metadata,
    caller,
    defined_seq AS call_seq
FROM written
UNION ALL
SELECT
    workflow_id,
    NULL,
    name,
    attributes ->> '$.method',
    kind,
    CASE WHEN type = 'actor.call_succeeded' THEN 'SUCCESSFUL' ELSE 'FAILED' END,
    NULL,
    ts_source - to_microseconds(((attributes ->> '$.duration_s')::DOUBLE * 1e6)::BIGINT),
    ts_source,
    (attributes ->> '$.duration_s')::DOUBLE,
    1,
    error_type,
    error_message,
    '{}'::JSON,
    attributes ->> '$.caller',
    seq
FROM wfstore.visible
WHERE type IN ('actor.call_succeeded', 'actor.call_failed') AND kind = 'readonly'
