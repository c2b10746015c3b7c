-- name: arrived
-- summary: Rows that are being taken into history files.
-- grain: seq
SELECT * FROM arrived_rows
