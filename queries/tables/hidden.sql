-- name: hidden
-- summary: Facts in history files that do not count any more: those about an id as of before a seq.
-- grain: workflow_id, from_seq
CREATE TABLE wfstore.hidden (workflow_id VARCHAR, from_seq BIGINT)
