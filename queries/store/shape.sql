-- name: shape
-- summary: Whether workflows have rows in the tail, and whether some facts in history files do not count any more.
-- grain: the store
SELECT
    EXISTS (SELECT 1 FROM wfstore.touched) AS hot,
    EXISTS (SELECT 1 FROM wfstore.hidden) AS hidden
