-- name: workflows
-- summary: Rows of workflows about a range of ids, in the order of their keys.
-- grain: workflow_id
SELECT *
FROM main.workflows
WHERE workflow_id >= $low AND workflow_id < $high
ORDER BY workflow_id
