-- name: facts_files
-- summary: Facts that count out of the history files of one kind.
-- grain: that of the view they are rows of
SELECT fact.* EXCLUDE (as_of)
FROM read_parquet($paths) AS fact
WHERE NOT EXISTS (
    SELECT 1
    FROM wfstore.hidden
    WHERE hidden.workflow_id = fact.workflow_id
      AND hidden.from_seq > fact.as_of
)
