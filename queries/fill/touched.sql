-- name: touched
-- summary: Notes the ids among those that arrived which had no rows in the tail before, and says how they begin.
-- grain: workflow_id
INSERT INTO wfstore.touched
SELECT workflow_id, type, false
FROM arrived
WHERE workflow_id NOT IN (SELECT workflow_id FROM wfstore.touched)
RETURNING first_type
