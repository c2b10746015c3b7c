-- name: virtual_actors
-- summary: Rows of virtual_actors out of history files.
-- grain: actor_id
SELECT
    workflow_id AS actor_id,
    * EXCLUDE (workflow_id, decided),
    wfstore.shown(decided, (SELECT alive FROM wfstore.lease)) AS status
FROM files.virtual_actors
