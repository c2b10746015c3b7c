-- name: attempts
-- summary: Rows of attempts about a range of ids, in the order of their keys.
-- grain: workflow_id, run, task_id, attempt
SELECT *
FROM main.attempts
WHERE workflow_id >= $low AND workflow_id < $high
ORDER BY workflow_id, run, task_id, attempt
