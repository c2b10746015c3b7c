-- name: deleted_runs
-- summary: The last run of every id that was deleted.
-- grain: workflow_id
SELECT workflow_id, coalesce(arg_max(run, seq), 0) AS run
FROM main.events
WHERE type = 'workflow.deleted'
GROUP BY workflow_id
