-- name: scan
-- summary: All rows about one workflow id, in log order.
-- grain: seq
SELECT *
FROM main.events
WHERE workflow_id = $workflow_id
