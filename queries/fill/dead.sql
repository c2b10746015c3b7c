-- name: dead
-- summary: Takes in what was deleted.
-- grain: workflow_id
INSERT INTO wfstore.dead
SELECT unnest($ids), unnest($seqs)
