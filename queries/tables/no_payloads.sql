-- name: no_payloads
-- summary: Ids of workflows whose values are kept no longer.
-- grain: workflow_id
CREATE TABLE wfstore.no_payloads (workflow_id VARCHAR)
