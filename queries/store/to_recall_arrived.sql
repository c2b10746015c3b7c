-- name: to_recall_arrived
-- summary: Ids among rows that are being taken in which went on with what older parts hold.
-- grain: workflow_id
SELECT workflow_id
FROM wfstore.arrived
WHERE workflow_id IS NOT NULL
GROUP BY workflow_id
HAVING arg_min(type, seq) NOT IN ('workflow.submitted', 'workflow.deleted')
