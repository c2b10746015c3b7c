-- name: written
-- summary: When the last event up to a seq was written; NULL where none is kept.
-- grain: the store
SELECT arg_max(ts, seq) AS at
FROM main.events
WHERE seq <= $seq
