-- name: range_tail
-- summary: All rows about a range of ids, each id's in log order, where no history file can hold any.
-- grain: seq
SELECT *
FROM wfstore.tail
WHERE workflow_id >= $low AND workflow_id < $high
ORDER BY workflow_id, seq
