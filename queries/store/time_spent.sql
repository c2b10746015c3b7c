-- name: time_spent
-- summary: What the time of each attempt of one workflow went to; the folds and views stand before it as CTEs.
-- grain: workflow_id, run, task_id, attempt
SELECT * FROM time_spent ORDER BY submitted_seq
