-- name: forget_live_workflows
-- summary: Drops what the manager said before about its workflows.
-- grain: workflow_id
DELETE FROM wfstore.live_workflows
