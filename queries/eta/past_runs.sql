-- name: past_runs
-- summary: The latest successful workflows of a name (and DAG hash, unless $dag_hash is NULL) that ended by $until.
-- grain: workflow_id
SELECT workflow_id, started_at, ended_at, tasks
FROM main.workflows
WHERE name = $name
  AND status = 'SUCCESSFUL'
  AND ($dag_hash IS NULL OR dag_hash = $dag_hash)
  AND started_at IS NOT NULL
  AND ended_at <= $until
ORDER BY ended_at DESC, workflow_id
LIMIT $most
