-- name: needed_by
-- summary: Which event names a payload file first, and how many workflows do.
-- grain: one row
SELECT
    min(seq) AS seq,
    epoch_us(arg_min(ts, seq)) AS ts,
    arg_min(workflow_id, seq) AS workflow_id,
    arg_min_null(task_id, seq) AS task_id,
    count(DISTINCT workflow_id) AS workflows
FROM main.events
WHERE uri = $uri
   OR hash = $hash
   OR (type = 'task.defined' AND contains(attributes::VARCHAR, $hash))
