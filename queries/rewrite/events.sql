-- name: events
-- summary: Rows of the log out of history files, without those that were deleted since.
-- grain: seq
SELECT *
FROM read_parquet($paths) AS event
WHERE ($low IS NULL OR workflow_id >= $low)
  AND ($high IS NULL OR workflow_id IS NULL OR workflow_id < $high)
  AND NOT EXISTS (
      SELECT 1
      FROM wfstore.dead
      WHERE dead.workflow_id = event.workflow_id
        AND dead.seq > event.seq
  )
