-- name: to_recall
-- summary: Ids in the tail that went on with what history files hold. What was submitted anew, or deleted, needs no past.
-- grain: workflow_id
SELECT workflow_id
FROM wfstore.touched
WHERE NOT recalled
  AND first_type NOT IN ('workflow.submitted', 'workflow.deleted')
