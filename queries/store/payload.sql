-- name: payload
-- summary: The payload of one event, out of the pack files that may hold it.
-- grain: the event
SELECT payload
FROM read_parquet($paths)
WHERE workflow_id = $workflow_id
  AND seq = $seq
