-- name: live_tasks
-- summary: Takes in what the manager just said about its tasks.
-- grain: workflow_id, task_id
INSERT INTO wfstore.live_tasks BY NAME
SELECT *
FROM arrived
