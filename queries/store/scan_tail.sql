-- name: scan_tail
-- summary: All rows about one workflow id, in log order, where no history file can hold any.
-- grain: seq
SELECT *
FROM wfstore.tail
WHERE workflow_id = $workflow_id
ORDER BY seq
