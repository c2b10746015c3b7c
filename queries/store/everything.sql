-- name: everything
-- summary: The tail's rows for another database to take in.
-- grain: seq
SELECT *
FROM wfstore.tail
