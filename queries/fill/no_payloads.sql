-- name: no_payloads
-- summary: Takes in whose values are kept no longer.
-- grain: workflow_id
INSERT INTO wfstore.no_payloads
SELECT unnest($ids)
