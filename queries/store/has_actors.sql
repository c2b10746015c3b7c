-- name: has_actors
-- summary: Whether there is a virtual actor.
-- grain: the store
SELECT EXISTS (SELECT 1 FROM wfstore.actor_facts) AS actors
