-- name: look
-- summary: Any look at the database.
-- grain: the store
SELECT alive FROM wfstore.lease
