-- name: tasks
-- summary: Tasks that match every filter that is not NULL. $metadata is a JSON object.
-- grain: workflow_id, task_id
SELECT *
FROM main.tasks
WHERE ($workflow_id IS NULL OR workflow_id = $workflow_id)
  AND ($statuses IS NULL OR list_contains($statuses, status))
  AND ($name IS NULL OR name = $name)
  AND ($since IS NULL OR submitted_at >= $since)
  AND ($until IS NULL OR submitted_at < $until)
  AND ($metadata IS NULL OR wfstore.holds(metadata, $metadata))
