-- name: seqs
-- summary: Events of some seqs out of history files, in log order.
-- grain: seq
SELECT * EXCLUDE (hash_left_out, lag_us),
    ts - to_microseconds(lag_us) AS ts_source
FROM read_parquet($paths)
WHERE seq BETWEEN $first_seq AND $last_seq
ORDER BY seq
