-- name: virtual_actors
-- summary: Rows of virtual_actors as a history file keeps them.
-- grain: workflow_id
SELECT actor.actor_id AS workflow_id, actor.* EXCLUDE (actor_id, status), facts.decided
FROM hot.virtual_actors AS actor
JOIN wfstore.workflow_facts AS facts ON facts.workflow_id = actor.actor_id
