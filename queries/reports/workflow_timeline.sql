-- name: workflow_timeline
-- summary: Every attempt of one workflow on one axis of time, in the order in which they were submitted.
-- grain: run, task_id, attempt
-- param: id VARCHAR = NULL: Id of the workflow; without it the one submitted last.
-- param: task VARCHAR = NULL: Only tasks of this name.
-- param: limit BIGINT = NULL: How many rows, the earliest ones.
-- column: workflow_id VARCHAR: Id of the workflow.
-- column: run INTEGER: Which execution of the workflow.
-- column: task_id VARCHAR: Id of the task.
-- column: task_name VARCHAR: Name of the task.
-- column: type VARCHAR: function, timer, event, event_checkpointed, wait or actor.
-- column: attempt INTEGER: Which attempt in that run.
-- column: status VARCHAR: Where the attempt stands.
-- column: kind VARCHAR: Of a failure: app, system, oom, timeout, lost, canceled or serialization.
-- column: submitted_at TIMESTAMP: When it was given to Ray (or to the manager, if it only waits), UTC.
-- column: submitted_s DOUBLE: The same, in seconds since the submission of the workflow.
-- column: started_s DOUBLE: When it began, in seconds since then.
-- column: ended_s DOUBLE: When it ended, in seconds since then.
-- column: queue_s DOUBLE: Seconds from submitted to started; 0 for one that only waits.
-- column: duration_s DOUBLE: Seconds from started to ended.
-- column: node_id VARCHAR: The node that it ran on.
-- column: worker_pid INTEGER: The process that it ran in.
WITH flow AS MATERIALIZED (
    SELECT workflow_id, submitted_at
    FROM main.workflows
    WHERE ($id IS NULL OR workflow_id = $id)
      AND workflow_id = coalesce(
          $id, (SELECT arg_max(workflow_id, submitted_seq) FROM main.workflows WHERE $id IS NULL)
      )
),
-- the parameter itself stands beside what was found, as only that prunes files
attempt AS (
    SELECT *
    FROM main.attempts
    WHERE ($id IS NULL OR workflow_id = $id)
      AND workflow_id = (SELECT workflow_id FROM flow)
      AND ($task IS NULL OR task_name = $task)
)
SELECT
    attempt.workflow_id,
    attempt.run,
    attempt.task_id,
    attempt.task_name,
    attempt.task_type AS type,
    attempt.attempt,
    attempt.status,
    attempt.kind,
    attempt.submitted_at,
    date_diff('microsecond', flow.submitted_at, attempt.submitted_at) / 1e6 AS submitted_s,
    date_diff('microsecond', flow.submitted_at, attempt.started_at) / 1e6 AS started_s,
    date_diff('microsecond', flow.submitted_at, attempt.ended_at) / 1e6 AS ended_s,
    attempt.queue_s,
    attempt.duration_s,
    attempt.node_id,
    attempt.worker_pid
FROM attempt
CROSS JOIN flow
ORDER BY attempt.submitted_seq
LIMIT $limit
