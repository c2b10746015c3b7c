-- name: touched_again
-- summary: Notes all ids in the tail, after its older rows went into history files.
-- grain: workflow_id
INSERT INTO wfstore.touched
SELECT workflow_id, arg_min(type, seq), false
FROM wfstore.tail
WHERE workflow_id IS NOT NULL
GROUP BY workflow_id
