-- name: expired
-- summary: Workflows that ended before a moment; failed ones before another. run: the last one under that id.
-- grain: workflow_id
SELECT
    flow.workflow_id,
    flow.status,
    greatest(coalesce(run.run, 0), coalesce(earlier.run, 0)) AS run,
    flow.submitted_seq,
    epoch_us(flow.ended_at) AS ended_at
FROM main.workflows AS flow
LEFT JOIN (SELECT workflow_id, max(run) AS run FROM main.runs GROUP BY workflow_id) AS run
    ON run.workflow_id = flow.workflow_id
LEFT JOIN (
    SELECT workflow_id, max(run) AS run
    FROM main.events
    WHERE type = 'workflow.deleted'
    GROUP BY workflow_id
) AS earlier
    ON earlier.workflow_id = flow.workflow_id
WHERE (
    (flow.status IN ('SUCCESSFUL', 'CANCELED') AND flow.ended_at < $ended_before)
    OR (flow.status = 'FAILED' AND flow.ended_at < $failed_before)
)
  AND flow.workflow_id NOT IN (SELECT actor_id FROM main.virtual_actors)
ORDER BY flow.submitted_seq
