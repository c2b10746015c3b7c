-- name: tasks
-- summary: Rows of tasks about a range of ids, in the order of their keys.
-- grain: workflow_id, task_id
SELECT *
FROM main.tasks
WHERE workflow_id >= $low AND workflow_id < $high
ORDER BY workflow_id, task_id
