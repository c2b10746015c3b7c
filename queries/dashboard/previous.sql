-- name: previous
-- summary: The workflow of a name that was submitted last before a seq.
-- grain: the one row
SELECT arg_max(workflow_id, submitted_seq) AS workflow_id
FROM main.workflows
WHERE name = $name
  AND submitted_seq < $seq
