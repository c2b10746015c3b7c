-- name: actor_calls
-- summary: Rows of actor_calls out of history files.
-- grain: actor_id, call_seq
SELECT workflow_id AS actor_id, * EXCLUDE (workflow_id)
FROM files.actor_calls
