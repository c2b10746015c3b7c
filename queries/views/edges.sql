-- name: edges
-- summary: The DAG: what a task was given by which other task, and what its continuation added to it.
-- grain: workflow_id, upstream_task_id, task_id, kind
WITH defined AS (
    SELECT
        workflow_id,
        task_id,
        definition ->> '$.creator' AS creator,
        coalesce(given[1]::VARCHAR[], []) AS upstream,
        coalesce(given[2]::VARCHAR[], []) AS kinds
    FROM (SELECT *, json_extract(definition, ['$.upstream', '$.kinds']) AS given FROM wfstore.task_facts)
),
continued AS (
    SELECT workflow_id, task_id, arg_max(attributes, seq) ->> '$.output_task' AS output_task
    FROM wfstore.visible
    WHERE type = 'task.continued'
    GROUP BY workflow_id, task_id
)
SELECT DISTINCT workflow_id, upstream_task_id, task_id, coalesce(kind, 'argument') AS kind
FROM (SELECT workflow_id, unnest(upstream) AS upstream_task_id, task_id, unnest(kinds) AS kind FROM defined)
UNION ALL
SELECT workflow_id, task_id AS upstream_task_id, output_task AS task_id, 'continuation' AS kind
FROM continued
UNION ALL
-- without these a continuation's own sources would hang in the air: they start once their creator has returned
SELECT defined.workflow_id, defined.creator AS upstream_task_id, defined.task_id, 'created' AS kind
FROM defined
LEFT JOIN continued
    ON continued.workflow_id = defined.workflow_id
    AND continued.task_id = defined.creator
    AND continued.output_task = defined.task_id
WHERE defined.creator IS NOT NULL
  AND defined.upstream = []
  AND continued.output_task IS NULL
