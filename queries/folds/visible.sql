-- name: visible
-- summary: The rows about workflows that exist: what came before an id was deleted is left out.
-- grain: seq
SELECT log.*
FROM wfstore.log AS log
LEFT JOIN (
    SELECT workflow_id, max(seq) AS seq
    FROM wfstore.log
    WHERE type = 'workflow.deleted'
    GROUP BY workflow_id
) AS deleted ON deleted.workflow_id = log.workflow_id
WHERE log.workflow_id IS NOT NULL
  AND log.seq > coalesce(deleted.seq, 0)
