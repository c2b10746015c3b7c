-- name: facts
-- summary: Facts out of history files of neighbouring parts, without those that are over.
-- grain: that of the view they are rows of
SELECT fact.* EXCLUDE (as_of)
FROM read_parquet($paths) AS fact
WHERE ($low IS NULL OR workflow_id >= $low)
  AND ($high IS NULL OR workflow_id < $high)
  AND NOT EXISTS (
      SELECT 1
      FROM wfstore.superseded AS later
      WHERE later.workflow_id = fact.workflow_id
        AND later.from_seq > fact.as_of
  )
  AND NOT EXISTS (
      SELECT 1
      FROM wfstore.dead
      WHERE dead.workflow_id = fact.workflow_id
        AND dead.seq > fact.as_of
  )
