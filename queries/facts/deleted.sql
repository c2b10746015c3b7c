-- name: deleted
-- summary: Ids that were deleted here: their last run before, and who asked.
-- grain: workflow_id
SELECT workflow_id, max(seq) AS seq, arg_max(run, seq) AS run, arg_max(request_id, seq) AS request_id, arg_max("by", seq) AS "by"
FROM wfstore.arrived
WHERE type = 'workflow.deleted'
GROUP BY workflow_id
