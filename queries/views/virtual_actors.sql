-- name: virtual_actors
-- summary: One row per virtual actor that exists. It is a workflow, too, whose id is the actor's.
-- grain: actor_id
SELECT
    actor.workflow_id AS actor_id,
    actor.creation ->> '$.class' AS class,
    flow.status,
    actor.created_at,
    coalesce(call.calls, 0) AS calls,
    coalesce(call.readonly_calls, 0) AS readonly_calls,
    coalesce(call.calls_failed, 0) AS calls_failed,
    coalesce(call.calls_open, 0) AS calls_open,
    call.last_call_at,
    actor.state_bytes,
    actor.state_at,
    actor.state_seq,
    flow.error_type,
    flow.error_message,
    actor.class_hash
FROM wfstore.actor_facts AS actor
JOIN wfstore.workflow_facts AS flow ON flow.workflow_id = actor.workflow_id
LEFT JOIN (
    SELECT
        actor_id,
        count(*) FILTER (method IS DISTINCT FROM '__init__') AS calls,
        count(*) FILTER (kind = 'readonly') AS readonly_calls,
        count(*) FILTER (method IS DISTINCT FROM '__init__' AND status = 'FAILED') AS calls_failed,
        count(*) FILTER (method IS DISTINCT FROM '__init__' AND status IN ('PENDING', 'RUNNING', 'RETRYING')) AS calls_open,
        max(coalesce(submitted_at, started_at)) FILTER (method IS DISTINCT FROM '__init__') AS last_call_at
    FROM hot.actor_calls
    GROUP BY actor_id
) AS call ON call.actor_id = actor.workflow_id
