-- name: live_workflows
-- summary: What the manager's memory says about its workflows; filled when live state was asked for.
-- grain: workflow_id
CREATE TABLE wfstore.live_workflows AS
SELECT *, NULL::BIGINT AS as_of_seq
FROM main.workflows
LIMIT 0
