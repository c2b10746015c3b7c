-- name: facts_that_count
-- summary: Facts that count out of the history files of one kind.
-- grain: that of the view they are rows of
SELECT fact.* EXCLUDE (as_of)
FROM read_parquet($paths) AS fact
ANTI JOIN wfstore.hidden
    ON hidden.workflow_id = fact.workflow_id
    AND hidden.from_seq > fact.as_of
