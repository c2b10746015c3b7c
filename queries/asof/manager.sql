-- name: manager
-- summary: What the last event up to a seq about a manager says; NULL where there is none.
-- grain: the store
SELECT arg_max(type, seq) AS type
FROM main.events
WHERE workflow_id IS NULL
  AND type IN ('manager.started', 'manager.stopped')
  AND seq <= $seq
