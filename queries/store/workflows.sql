-- name: workflows
-- summary: Workflows that match every filter that is not NULL. $metadata is a JSON object.
-- grain: workflow_id
SELECT *
FROM main.workflows
WHERE ($statuses IS NULL OR list_contains($statuses, status))
  AND ($name IS NULL OR name = $name)
  AND ($text IS NULL OR contains(lower(workflow_id), lower($text)))
  AND ($ids IS NULL OR list_contains($ids, workflow_id))
  AND ($since IS NULL OR submitted_at >= $since)
  AND ($until IS NULL OR submitted_at < $until)
  AND ($metadata IS NULL OR wfstore.holds(metadata, $metadata))
