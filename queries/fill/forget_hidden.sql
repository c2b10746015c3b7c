-- name: forget_hidden
-- summary: Drops what was there, to be filled anew.
-- grain: workflow_id
DELETE FROM wfstore.hidden
