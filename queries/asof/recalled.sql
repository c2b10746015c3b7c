-- name: recalled
-- summary: Takes the rows about some ids up to the moment out of history files. A hash left out is there, but empty.
-- grain: seq
INSERT INTO wfstore.recalled BY NAME
SELECT
    * EXCLUDE (hash_left_out, lag_us) REPLACE (coalesce(hash, CASE WHEN hash_left_out THEN '' END) AS hash),
    ts - to_microseconds(lag_us) AS ts_source
FROM read_parquet($paths)
WHERE workflow_id IN (SELECT unnest($ids))
  AND seq <= $seq
