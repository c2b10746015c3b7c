-- name: live_tasks
-- summary: What the manager's memory says about their tasks; filled when live state was asked for.
-- grain: workflow_id, task_id
CREATE TABLE wfstore.live_tasks AS
SELECT
    *,
    NULL::BIGINT AS as_of_seq,
    NULL::INTEGER AS run,
    NULL::INTEGER AS attempt,
    NULL::TIMESTAMP AS attempt_started_at,
    NULL::VARCHAR AS node_id,
    NULL::INTEGER AS worker_pid,
    NULL::VARCHAR AS ray_task_id
FROM main.tasks
LIMIT 0
