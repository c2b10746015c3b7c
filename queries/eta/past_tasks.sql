-- name: past_tasks
-- summary: The tasks of some workflows, as far as an estimate of the end of another one needs them.
-- grain: workflow_id, task_id
SELECT workflow_id, task_id, task_key, type, creator, upstream, defined_seq
FROM main.tasks
WHERE workflow_id IN (SELECT unnest($ids))
