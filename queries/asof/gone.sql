-- name: gone
-- summary: Workflows that were deleted later, of which nothing is kept; some of them may not have been there yet.
-- grain: the store
SELECT count(*) AS workflows
FROM (
    SELECT workflow_id
    FROM wfstore.gone
    GROUP BY workflow_id
    HAVING bool_or(partly) OR workflow_id NOT IN (SELECT workflow_id FROM main.workflows)
)
