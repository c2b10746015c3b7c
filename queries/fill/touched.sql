-- name: touched
-- summary: Notes the ids among those that arrived which had no rows in the tail before, and says how they begin.
-- grain: workflow_id
INSERT INTO wfstore.touched
SELECT workflow_id, type, false
FROM arrived
ANTI JOIN wfstore.touched USING (workflow_id)
RETURNING first_type
