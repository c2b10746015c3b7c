-- name: was_recalled
-- summary: Notes that the older rows about these ids are here, and hidden as facts.
-- grain: workflow_id
UPDATE wfstore.touched SET recalled = true WHERE NOT recalled
