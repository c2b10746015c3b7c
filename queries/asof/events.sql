-- name: events
-- summary: The log's rows up to the moment out of history files.
-- grain: seq
SELECT * EXCLUDE (hash_left_out, lag_us),
    ts - to_microseconds(lag_us) AS ts_source
FROM read_parquet($paths)
WHERE seq <= $seq
