-- name: workflows
-- summary: Rows of workflows as a history file keeps them.
-- grain: workflow_id
SELECT
    flow.* EXCLUDE (status, queue_wait_s, elapsed_s, duration_s),
    facts.decided,
    (flow.duration_s * 1e6)::BIGINT AS duration_us,
    extent.first_seq,
    extent.last_seq,
    extent.run
FROM hot.workflows AS flow
JOIN wfstore.workflow_facts AS facts ON facts.workflow_id = flow.workflow_id
JOIN (
    SELECT workflow_id, min(seq) AS first_seq, max(seq) AS last_seq, max(run) AS run
    FROM wfstore.log
    GROUP BY workflow_id
) AS extent ON extent.workflow_id = flow.workflow_id
