-- name: superseded
-- summary: Ids whose first event here is not their first ever: what older parts say about them is over.
-- grain: workflow_id
SELECT workflow_id
FROM wfstore.arrived
WHERE workflow_id IS NOT NULL
GROUP BY workflow_id
HAVING arg_min(type, seq) <> 'workflow.submitted'
