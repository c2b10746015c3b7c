-- name: packs
-- summary: Values out of pack files, without those that were deleted since or are kept no longer.
-- grain: seq
SELECT pack.*
FROM read_parquet($paths) AS pack
ANTI JOIN wfstore.dead
    ON dead.workflow_id = pack.workflow_id
    AND dead.seq > pack.seq
ANTI JOIN wfstore.no_payloads AS gone ON gone.workflow_id = pack.workflow_id
WHERE ($low IS NULL OR pack.workflow_id >= $low)
  AND ($high IS NULL OR pack.workflow_id IS NULL OR pack.workflow_id < $high)
