-- name: actor_facts
-- summary: What the log says about each virtual actor's class and state.
-- grain: workflow_id
SELECT
    workflow_id,
    arg_min(CASE WHEN type = 'actor.created' THEN ts END, seq) AS created_at,
    arg_min(CASE WHEN type = 'actor.created' THEN hash END, seq) AS class_hash,
    arg_min(CASE WHEN type = 'actor.created' THEN attributes END, seq) AS creation,
    arg_max(CASE WHEN type = 'actor.state_committed' THEN bytes END, seq) AS state_bytes,
    arg_max(CASE WHEN type = 'actor.state_committed' THEN ts END, seq) AS state_at,
    max(CASE WHEN type = 'actor.state_committed' THEN seq END) AS state_seq,
    arg_max(CASE WHEN type = 'actor.state_committed' THEN hash END, seq) AS state_hash
FROM wfstore.visible
WHERE type IN ('actor.created', 'actor.state_committed')
GROUP BY workflow_id
