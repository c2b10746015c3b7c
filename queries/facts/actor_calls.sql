-- name: actor_calls
-- summary: Rows of actor_calls.
-- grain: workflow_id, call_seq
SELECT actor_id AS workflow_id, * EXCLUDE (actor_id)
FROM hot.actor_calls
