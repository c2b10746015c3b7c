-- name: hidden_superseded
-- summary: Hides facts about ids that went on in later history files.
-- grain: workflow_id, from_seq
INSERT INTO wfstore.hidden
SELECT workflow_id, as_of
FROM read_parquet($paths)
