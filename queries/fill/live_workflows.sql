-- name: live_workflows
-- summary: Takes in what the manager just said about its workflows.
-- grain: workflow_id
INSERT INTO wfstore.live_workflows BY NAME
SELECT *
FROM arrived
