-- name: workflow_ids
-- summary: The ids that are taken.
-- grain: workflow_id
SELECT workflow_id FROM main.workflows
