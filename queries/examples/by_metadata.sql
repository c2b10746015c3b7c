-- name: by_metadata
-- summary: Workflows by a key of their metadata, here team.
-- grain: team
SELECT
    metadata ->> 'team' AS team,
    count(*) AS workflows,
    count(*) FILTER (status = 'FAILED') AS failed,
    sum(total_output_bytes)::BIGINT AS output_bytes
FROM workflows
GROUP BY team
ORDER BY workflows DESC
