-- name: referenced
-- summary: Payload files that something may need. What merely looks like the name of one counts too.
-- grain: hash
WITH deleted AS (
    SELECT workflow_id, max(seq) AS seq
    FROM main.events
    WHERE type = 'workflow.deleted'
    GROUP BY workflow_id
),
no_payloads AS (
    SELECT unnest($no_payloads::VARCHAR[]) AS workflow_id
),
-- three narrow passes: whole rows of a large history would not fit in memory
named AS NOT MATERIALIZED (
    SELECT split_part(uri, '/', 3) AS hash, workflow_id, seq FROM main.events WHERE uri IS NOT NULL
    UNION ALL
    SELECT hash, workflow_id, seq FROM main.events WHERE length(hash) = 64
    UNION ALL
    SELECT unnest(regexp_extract_all(attributes::VARCHAR, '[0-9a-f]{64}')) AS hash, workflow_id, seq
    FROM main.events
    WHERE type IN ('task.defined', 'workflow.submitted', 'workflow.metadata_set')
)
SELECT DISTINCT named.hash
FROM named
ANTI JOIN no_payloads ON no_payloads.workflow_id = named.workflow_id
ANTI JOIN deleted ON deleted.workflow_id = named.workflow_id AND deleted.seq > named.seq AND $purged
