-- name: referenced
-- summary: Payload files that something may need. What merely looks like the name of one counts too.
-- grain: hash
WITH kept AS MATERIALIZED (
    SELECT type, uri, hash, attributes
    FROM main.events
    WHERE workflow_id IS NULL OR workflow_id NOT IN (SELECT unnest($no_payloads::VARCHAR[]))
)
SELECT DISTINCT hash
FROM (
    SELECT split_part(uri, '/', 3) AS hash FROM kept WHERE uri IS NOT NULL
    UNION ALL
    SELECT hash FROM kept WHERE hash IS NOT NULL AND length(hash) = 64
    UNION ALL
    SELECT unnest(regexp_extract_all(attributes, '[0-9a-f]{64}'))
    FROM kept
    WHERE type IN ('task.defined', 'workflow.submitted', 'workflow.metadata_set')
)
