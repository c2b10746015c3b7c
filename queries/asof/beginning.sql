-- name: beginning
-- summary: When the first event was written; NULL where there is none.
-- grain: the store
SELECT min(ts) AS at
FROM main.events
