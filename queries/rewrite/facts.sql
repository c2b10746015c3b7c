-- name: facts
-- summary: Facts out of history files of neighbouring parts, without those that are over.
-- grain: that of the view they are rows of
SELECT fact.* EXCLUDE (as_of)
FROM read_parquet($paths, union_by_name = true) AS fact
ANTI JOIN wfstore.superseded AS later
    ON later.workflow_id = fact.workflow_id
    AND later.from_seq > fact.as_of
ANTI JOIN wfstore.dead
    ON dead.workflow_id = fact.workflow_id
    AND dead.seq > fact.as_of
WHERE ($low IS NULL OR fact.workflow_id >= $low)
  AND ($high IS NULL OR fact.workflow_id < $high)
