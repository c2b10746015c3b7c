-- name: live_workflows
-- summary: What the manager's memory says about its workflows; filled when live state was asked for.
-- grain: workflow_id
CREATE TABLE wfstore.live_workflows AS
SELECT *, NULL::BIGINT AS as_of_seq, NULL::TIMESTAMP AS eta_p50_at, NULL::TIMESTAMP AS eta_p90_at
FROM main.workflows
LIMIT 0
