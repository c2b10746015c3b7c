-- name: errors
-- summary: Which errors were most frequent in the last week, and how many workflows had them.
-- grain: error_type
SELECT
    error_type,
    count(*) AS attempts,
    count(DISTINCT workflow_id) AS workflows,
    max(ended_at) AS last_at
FROM attempts
WHERE status = 'FAILED' AND ended_at > now()::TIMESTAMP - INTERVAL 7 DAY
GROUP BY error_type
ORDER BY attempts DESC
LIMIT 20
