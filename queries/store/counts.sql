-- name: counts
-- summary: How many workflows have which status.
-- grain: status
SELECT status, count(*) AS workflows
FROM main.workflows
GROUP BY status
