-- name: manager
-- summary: Whether a manager holds the store, as the views take it.
-- grain: the store
SELECT alive FROM wfstore.lease
