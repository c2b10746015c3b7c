-- name: range_files
-- summary: All rows about a range of ids, each id's in log order: out of the history files that may hold some, and the tail.
-- grain: seq
SELECT
    * EXCLUDE (hash_left_out, lag_us) REPLACE (coalesce(hash, CASE WHEN hash_left_out THEN '' END) AS hash),
    ts - to_microseconds(lag_us) AS ts_source
FROM read_parquet($paths)
WHERE workflow_id >= $low AND workflow_id < $high
UNION ALL BY NAME
SELECT *
FROM wfstore.tail
WHERE workflow_id >= $low AND workflow_id < $high
ORDER BY workflow_id, seq
