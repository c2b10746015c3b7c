-- name: deleted
-- summary: The last time that an id was deleted.
-- grain: workflow_id
SELECT
    workflow_id,
    max(seq) AS seq,
    arg_max(run, seq) AS run,
    arg_max(request_id, seq) AS request_id,
    arg_max("by", seq) AS "by"
FROM read_parquet($paths)
WHERE ($low IS NULL OR workflow_id >= $low)
  AND ($high IS NULL OR workflow_id < $high)
GROUP BY workflow_id
