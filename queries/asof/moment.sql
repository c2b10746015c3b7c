-- name: moment
-- summary: The last event by a moment. Where the clock was set back, of two events that say so the later one.
-- grain: the store
SELECT max(seq) AS seq
FROM main.events
WHERE ts <= $at
