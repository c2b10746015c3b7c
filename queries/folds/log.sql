-- name: log
-- summary: All rows about the workflows whose facts are worked out anew at each query.
-- grain: seq
SELECT * FROM wfstore.tail
UNION ALL
SELECT * FROM wfstore.recalled
