-- name: tail_rows
-- summary: Rows of the view events between two seqs, in log order.
-- grain: seq
SELECT *
FROM main.events
WHERE seq BETWEEN $first_seq AND $last_seq
ORDER BY seq
