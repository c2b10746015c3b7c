-- name: history
-- summary: Every frame of a history at once, each as a list of rows; the folds and views stand before it as CTEs.
-- grain: the workflow
SELECT
    (SELECT coalesce(list(workflows), []) FROM workflows) AS workflows,
    (SELECT coalesce(list(runs), []) FROM runs) AS runs,
    (SELECT coalesce(list(tasks), []) FROM tasks) AS tasks,
    (SELECT coalesce(list(attempts), []) FROM attempts) AS attempts,
    (SELECT coalesce(list(edges), []) FROM edges) AS edges
