-- name: events_files
-- summary: The log's rows out of history files.
-- grain: seq
SELECT * EXCLUDE (hash_left_out)
FROM read_parquet($paths)
