-- name: forget_gone
-- summary: Drops what was there, to be filled anew.
-- grain: workflow_id
DELETE FROM wfstore.gone
