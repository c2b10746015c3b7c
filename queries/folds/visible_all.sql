-- name: visible_all
-- summary: The rows about workflows, where none was deleted.
-- grain: seq
SELECT * FROM wfstore.log WHERE workflow_id IS NOT NULL
