-- name: runs
-- summary: Rows of runs as a history file keeps them.
-- grain: workflow_id, run
SELECT
    run.* EXCLUDE (outcome, duration_s),
    facts.ended_as,
    facts.duration_us
FROM hot.runs AS run
JOIN wfstore.run_facts AS facts ON facts.workflow_id = run.workflow_id AND facts.run = run.run
