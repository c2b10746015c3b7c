-- name: lease
-- summary: Says whether a manager holds the store.
-- grain: the store
UPDATE wfstore.lease SET alive = $alive
