-- name: in_tail
-- summary: Workflows of which something is in no history file yet.
-- grain: workflow_id
SELECT DISTINCT workflow_id FROM wfstore.tail WHERE workflow_id IS NOT NULL
