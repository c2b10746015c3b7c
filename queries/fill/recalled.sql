-- name: recalled
-- summary: Takes the rows about some ids out of history files. A hash that was left out is there, but empty.
-- grain: seq
INSERT INTO wfstore.recalled BY NAME
SELECT * EXCLUDE (hash_left_out) REPLACE (coalesce(hash, CASE WHEN hash_left_out THEN '' END) AS hash)
FROM read_parquet($paths)
WHERE workflow_id IN (SELECT unnest($ids))
