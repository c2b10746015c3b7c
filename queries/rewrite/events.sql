-- name: events
-- summary: Rows of the log out of history files, without those that were deleted since.
-- grain: seq
SELECT event.*
FROM read_parquet($paths) AS event
ANTI JOIN wfstore.dead
    ON dead.workflow_id = event.workflow_id
    AND dead.seq > event.seq
WHERE ($low IS NULL OR event.workflow_id >= $low)
  AND ($high IS NULL OR event.workflow_id IS NULL OR event.workflow_id < $high)
