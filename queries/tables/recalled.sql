-- name: recalled
-- summary: Rows out of history files about workflows that went on since.
-- grain: seq
CREATE TABLE wfstore.recalled AS
SELECT *
FROM wfstore.tail
LIMIT 0
