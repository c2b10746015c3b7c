-- name: past_edges
-- summary: What tasks of some workflows went on with.
-- grain: workflow_id, upstream_task_id, task_id
SELECT workflow_id, upstream_task_id, task_id, kind
FROM main.edges
WHERE workflow_id IN (SELECT unnest($ids))
  AND kind = 'continuation'
