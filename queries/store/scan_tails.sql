-- name: scan_tails
-- summary: All rows about several workflow ids, in log order, that are in no history file yet.
-- grain: seq
SELECT *
FROM wfstore.tail
WHERE list_contains($workflow_ids, workflow_id)
ORDER BY seq
