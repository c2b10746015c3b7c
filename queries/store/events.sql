-- name: events
-- summary: Events that match every filter that is not NULL. $metadata is that of their workflow.
-- grain: seq
SELECT *
FROM main.events
WHERE ($workflow_id IS NULL OR workflow_id = $workflow_id)
  AND ($types IS NULL OR list_contains($types, type))
  AND ($statuses IS NULL OR list_contains($statuses, status))
  AND ($name IS NULL OR name = $name)
  AND ($since IS NULL OR ts >= $since)
  AND ($until IS NULL OR ts < $until)
  AND (
      $metadata IS NULL
      OR workflow_id IN (SELECT workflow_id FROM main.workflows WHERE wfstore.holds(metadata, $metadata))
  )
