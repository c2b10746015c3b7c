-- name: gone_at
-- summary: Whether an id was deleted later, when, and whether what files still hold of it is less than there was.
-- grain: workflow_id
SELECT max(seq) AS seq, bool_or(partly) AS partly
FROM wfstore.gone
WHERE workflow_id = $workflow_id
HAVING count(*) > 0
