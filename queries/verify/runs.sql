-- name: runs
-- summary: Rows of runs about a range of ids, in the order of their keys.
-- grain: workflow_id, run
SELECT *
FROM main.runs
WHERE workflow_id >= $low AND workflow_id < $high
ORDER BY workflow_id, run
