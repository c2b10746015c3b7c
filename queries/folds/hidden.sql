-- name: hidden
-- summary: Facts in history files that do not count any more: those about an id as of before a seq.
-- grain: workflow_id, from_seq
SELECT workflow_id, from_seq FROM wfstore.superseded
UNION ALL
SELECT workflow_id, 9223372036854775807 FROM wfstore.touched
