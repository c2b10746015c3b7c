-- name: scan_files
-- summary: All rows about one workflow id, in log order, out of the history files that may hold it.
-- grain: seq
SELECT
    * EXCLUDE (hash_left_out, lag_us) REPLACE (coalesce(hash, CASE WHEN hash_left_out THEN '' END) AS hash),
    ts - to_microseconds(lag_us) AS ts_source
FROM read_parquet($paths)
WHERE workflow_id = $workflow_id
ORDER BY seq
