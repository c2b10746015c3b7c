-- name: recalled
-- summary: Rows out of history files about workflows that went on since.
-- grain: seq
SELECT * FROM wfstore.recalled
