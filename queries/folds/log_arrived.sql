-- name: log_arrived
-- summary: Rows that are being taken into history files, and older ones about the same workflows.
-- grain: seq
SELECT * FROM log_rows
