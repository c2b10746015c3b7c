-- name: log
-- summary: Takes rows that arrived from the log into the database, without their payloads.
-- grain: seq
INSERT INTO wfstore.log BY NAME
SELECT * EXCLUDE (payload)
FROM arrived
