-- name: live_workflows
-- summary: What the manager holds in memory now about its workflows; empty without a manager.
-- grain: workflow_id
SELECT * FROM wfstore.live_workflows
