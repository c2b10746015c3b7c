-- name: runs
-- summary: One row per execution of a workflow; a resume starts the next.
-- grain: workflow_id, run
SELECT
    facts.workflow_id,
    facts.run,
    facts.reason,
    facts.started_at,
    facts.ended_at,
    coalesce(facts.ended_as, wfstore.shown('RUNNING', lease.alive)) AS outcome,
    coalesce(counted.tasks_run, 0) AS tasks_run,
    coalesce(counted.tasks_reused, 0) AS tasks_reused,
    coalesce(counted.attempts, 0) AS attempts,
    facts.duration_us / 1e6 AS duration_s,
    facts.error_type,
    facts.error_message
FROM wfstore.run_facts AS facts
CROSS JOIN wfstore.lease AS lease
LEFT JOIN (
    SELECT
        workflow_id,
        run,
        -- attempts count from 1 in each run
        count(CASE WHEN type = 'attempt.submitted' AND attempt = 1 THEN 1 END) AS tasks_run,
        count(CASE WHEN type = 'task.reused' THEN 1 END) AS tasks_reused,
        count(CASE WHEN type = 'attempt.submitted' THEN 1 END) AS attempts
    FROM wfstore.visible
    WHERE type IN ('attempt.submitted', 'task.reused')
    GROUP BY workflow_id, run
) AS counted ON counted.workflow_id = facts.workflow_id AND counted.run = facts.run
