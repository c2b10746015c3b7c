-- name: expired
-- summary: Workflows that ended before a moment; failed ones before another.
-- grain: workflow_id
SELECT flow.workflow_id, flow.status, coalesce(run.run, 0) AS run
FROM main.workflows AS flow
LEFT JOIN (SELECT workflow_id, max(run) AS run FROM main.runs GROUP BY workflow_id) AS run
    ON run.workflow_id = flow.workflow_id
WHERE (
    (flow.status IN ('SUCCESSFUL', 'CANCELED') AND flow.ended_at < $ended_before)
    OR (flow.status = 'FAILED' AND flow.ended_at < $failed_before)
)
  AND flow.workflow_id NOT IN (SELECT actor_id FROM main.virtual_actors)
ORDER BY flow.submitted_seq
