-- name: past_attempts
-- summary: The attempts of some workflows, as far as an estimate of the end of another one needs them.
-- grain: workflow_id, run, task_id, attempt
SELECT workflow_id, run, task_id, attempt, status, submitted_at, started_at, ended_at, submitted_seq
FROM main.attempts
WHERE workflow_id IN (SELECT unnest($ids))
