-- name: append
-- summary: Takes rows that arrived from the log into the database.
-- grain: seq
INSERT INTO wfstore.log BY NAME
SELECT * EXCLUDE (payload)
FROM arrived
