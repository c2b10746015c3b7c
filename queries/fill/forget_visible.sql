-- name: forget_visible
-- summary: Makes room for the next workflow.
-- grain: seq
DELETE FROM wfstore.visible
