-- name: edges
-- summary: Rows of edges out of history files.
-- grain: workflow_id, upstream_task_id, task_id, kind
SELECT * FROM files.edges
