-- name: live_tasks
-- summary: What the manager's memory says about their tasks; filled when live state was asked for.
-- grain: workflow_id, task_id
CREATE TABLE wfstore.live_tasks AS
SELECT *, NULL::BIGINT AS as_of_seq
FROM main.tasks
LIMIT 0
