-- name: touched
-- summary: Notes the ids among rows that arrived which had none in the tail before.
-- grain: workflow_id
INSERT INTO wfstore.touched
SELECT workflow_id, arg_min(type, seq), false
FROM arrived
WHERE workflow_id IS NOT NULL
  AND workflow_id NOT IN (SELECT workflow_id FROM wfstore.touched)
GROUP BY workflow_id
