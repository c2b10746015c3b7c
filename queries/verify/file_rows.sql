-- name: file_rows
-- summary: Events of some seqs as history files keep them, in log order.
-- grain: seq
SELECT *
FROM read_parquet($paths)
WHERE seq BETWEEN $first_seq AND $last_seq
ORDER BY seq
