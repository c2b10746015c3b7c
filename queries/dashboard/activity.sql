-- name: activity
-- summary: How many attempts ended well, and how many failed, in each span of $length_s seconds between $begin and $until; spans without any are left out.
-- grain: position
SELECT
    floor(epoch(ended_at - $begin::TIMESTAMP) / $length_s)::BIGINT AS position,
    count(*) FILTER (status = 'SUCCESSFUL') AS succeeded,
    count(*) FILTER (status = 'FAILED') AS failed
FROM main.attempts
WHERE ended_at >= $begin AND ended_at < $until
GROUP BY position
ORDER BY position
