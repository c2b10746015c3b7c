-- name: attempts
-- summary: Attempts that match every filter that is not NULL. $name and $metadata are those of their task.
-- grain: workflow_id, run, task_id, attempt
SELECT attempt.*
FROM main.attempts AS attempt
WHERE ($workflow_id IS NULL OR attempt.workflow_id = $workflow_id)
  AND ($statuses IS NULL OR list_contains($statuses, attempt.status))
  AND ($since IS NULL OR attempt.submitted_at >= $since)
  AND ($until IS NULL OR attempt.submitted_at < $until)
  AND (
      ($name IS NULL AND $metadata IS NULL)
      OR (attempt.workflow_id, attempt.task_id) IN (
          SELECT (workflow_id, task_id)
          FROM main.tasks
          -- without either no task is read
          WHERE ($name IS NOT NULL OR $metadata IS NOT NULL)
            AND ($name IS NULL OR name = $name)
            AND ($metadata IS NULL OR wfstore.holds(metadata, $metadata))
      )
  )
