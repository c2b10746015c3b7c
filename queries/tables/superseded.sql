-- name: superseded
-- summary: Ids that went on in a later part: facts about them as of before `from_seq` are over.
-- grain: workflow_id, from_seq
CREATE TABLE wfstore.superseded (workflow_id VARCHAR, from_seq BIGINT)
