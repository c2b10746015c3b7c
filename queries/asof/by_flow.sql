-- name: by_flow
-- summary: Facts out of a part about the workflows that nothing happened to after the moment.
-- grain: that of the view they are rows of
SELECT fact.* EXCLUDE (as_of)
FROM read_parquet($paths) AS fact
SEMI JOIN read_parquet($flows) AS flow
    ON flow.workflow_id = fact.workflow_id
    AND flow.last_seq <= $seq
