-- name: by_seq
-- summary: Facts out of a part that began by the moment (by a seq of each kind's own), of workflows that ended by it.
-- grain: that of the view they are rows of
SELECT fact.* EXCLUDE (as_of)
FROM read_parquet($paths) AS fact
ANTI JOIN wfstore.touched AS flow ON flow.workflow_id = fact.workflow_id
WHERE fact.began <= $seq
