-- name: packs
-- summary: Values out of pack files, without those that were deleted since or are kept no longer.
-- grain: seq
SELECT *
FROM read_parquet($paths) AS pack
WHERE ($low IS NULL OR workflow_id >= $low)
  AND ($high IS NULL OR workflow_id IS NULL OR workflow_id < $high)
  AND workflow_id NOT IN (SELECT workflow_id FROM wfstore.no_payloads)
  AND NOT EXISTS (
      SELECT 1
      FROM wfstore.dead
      WHERE dead.workflow_id = pack.workflow_id
        AND dead.seq > pack.seq
  )
