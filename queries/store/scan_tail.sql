-- name: scan_tail
-- summary: All rows about one workflow id, in log order, that are in no history file yet.
-- grain: seq
SELECT *
FROM wfstore.tail
WHERE workflow_id = $workflow_id
ORDER BY seq
