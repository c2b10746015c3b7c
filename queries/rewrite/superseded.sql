-- name: superseded
-- summary: Ids about which still older parts may say something that is over.
-- grain: workflow_id
SELECT DISTINCT workflow_id
FROM read_parquet($paths)
WHERE ($low IS NULL OR workflow_id >= $low)
  AND ($high IS NULL OR workflow_id < $high)
