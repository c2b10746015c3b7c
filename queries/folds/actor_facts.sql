-- name: actor_facts
-- summary: What the log says about each virtual actor's class and state.
-- grain: workflow_id
SELECT
    workflow_id,
    arg_min(ts, seq) FILTER (type = 'actor.created') AS created_at,
    arg_min(hash, seq) FILTER (type = 'actor.created') AS class_hash,
    arg_min(attributes, seq) FILTER (type = 'actor.created') AS creation,
    arg_max(bytes, seq) FILTER (type = 'actor.state_committed') AS state_bytes,
    arg_max(ts, seq) FILTER (type = 'actor.state_committed') AS state_at,
    max(seq) FILTER (type = 'actor.state_committed') AS state_seq,
    arg_max(hash, seq) FILTER (type = 'actor.state_committed') AS state_hash
FROM wfstore.visible
WHERE type IN ('actor.created', 'actor.state_committed')
GROUP BY workflow_id
