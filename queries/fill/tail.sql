-- name: tail
-- summary: Takes rows that arrived from the log into the database, without their payloads.
-- grain: seq
INSERT INTO wfstore.tail BY NAME
SELECT *
FROM arrived
