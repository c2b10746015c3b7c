-- name: everything
-- summary: The log's rows for another database to take in.
-- grain: seq
SELECT *, NULL AS payload
FROM wfstore.log
