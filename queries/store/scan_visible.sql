-- name: scan_visible
-- summary: The rows about the workflow that has an id now, in log order; none where it was deleted.
-- grain: seq
SELECT events.*
FROM main.events AS events
WHERE workflow_id = $workflow_id
  AND seq IN (SELECT seq FROM wfstore.visible WHERE workflow_id = $workflow_id)
