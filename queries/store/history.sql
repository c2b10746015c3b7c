-- name: history
-- summary: Every frame of a history at once, each as a list of rows; the folds and views stand before it as CTEs.
-- grain: the workflow
SELECT
    (SELECT coalesce(list(workflows), []) FROM workflows) AS workflows,
    (SELECT coalesce(list(runs ORDER BY run), []) FROM runs) AS runs,
    (SELECT coalesce(list(tasks ORDER BY defined_seq), []) FROM tasks) AS tasks,
    (SELECT coalesce(list(attempts ORDER BY submitted_seq), []) FROM attempts) AS attempts,
    (SELECT coalesce(list(edges ORDER BY upstream_task_id, task_id, kind), []) FROM edges) AS edges
