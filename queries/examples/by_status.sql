-- name: by_status
-- summary: How many workflows there are of each status.
-- grain: status
SELECT status, count(*) AS workflows, sum(tasks)::BIGINT AS tasks
FROM workflows
GROUP BY status
ORDER BY workflows DESC
