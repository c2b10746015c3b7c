-- name: scan
-- summary: All rows about one workflow id in one pass; whether each belongs to the workflow that exists now.
-- grain: seq
SELECT
    *,
    seq > coalesce(max(seq) FILTER (WHERE type = 'workflow.deleted') OVER (), 0) AS visible
FROM main.events
WHERE workflow_id = $workflow_id
ORDER BY seq
