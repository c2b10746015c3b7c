-- name: live_tasks
-- summary: What the manager holds in memory now about their tasks; empty without a manager.
-- grain: workflow_id, task_id
SELECT * FROM wfstore.live_tasks
