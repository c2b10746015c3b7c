-- name: edges
-- summary: Rows of edges.
-- grain: workflow_id, upstream_task_id, task_id, kind
SELECT * FROM hot.edges
