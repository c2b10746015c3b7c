-- name: visible
-- summary: Takes the rows of one workflow into a database that holds nothing else.
-- grain: seq
INSERT INTO wfstore.visible BY NAME
SELECT *
FROM arrived
