-- name: forget_live_tasks
-- summary: Drops what the manager said before about its tasks.
-- grain: workflow_id, task_id
DELETE FROM wfstore.live_tasks
