-- name: output
-- summary: Where a task's output (NULL: the workflow's, or the state of a virtual actor) lies, past its continuations.
-- grain: the task; no row where there is no such workflow
WITH RECURSIVE last AS (
    SELECT
        task_id,
        arg_max({
            'type': type,
            'seq': seq,
            'hash': hash,
            'uri': uri,
            'checkpointed': (attributes ->> '$.checkpointed')::BOOLEAN,
            'output_task': attributes ->> '$.output_task'
        }, seq) AS said
    FROM wfstore.visible
    WHERE type IN ('attempt.succeeded', 'task.continued', 'task.error_caught')
    GROUP BY task_id
),
asked AS (
    SELECT
        workflow_id,
        coalesce($task_id::VARCHAR, submission ->> '$.output_task') AS task_id
    FROM wfstore.workflow_facts
),
chain AS (
    SELECT 0 AS depth, task_id FROM asked
    UNION ALL
    SELECT chain.depth + 1, last.said.output_task
    FROM chain
    JOIN last ON last.task_id = chain.task_id
    WHERE last.said.type = 'task.continued'
),
source AS (
    SELECT arg_max(task_id, depth) AS task_id FROM chain
)
SELECT
    flow.status AS workflow_status,
    flow.error_type,
    flow.error_message,
    asked.task_id,
    task.status AS task_status,
    actor.workflow_id IS NOT NULL AS is_state,
    CASE WHEN is_state THEN actor.state_seq ELSE last.said.seq END AS seq,
    CASE WHEN is_state THEN actor.state_hash ELSE last.said.hash END AS hash,
    is_state OR last.said.type = 'task.error_caught' OR coalesce(last.said.checkpointed, false) AS kept
FROM asked
JOIN wfstore.workflow_facts AS flow ON flow.workflow_id = asked.workflow_id
CROSS JOIN source
LEFT JOIN wfstore.task_facts AS task ON task.workflow_id = asked.workflow_id AND task.task_id = asked.task_id
LEFT JOIN last ON last.task_id = source.task_id
LEFT JOIN wfstore.actor_facts AS actor ON actor.workflow_id = asked.workflow_id AND $task_id::VARCHAR IS NULL
