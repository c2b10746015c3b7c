-- name: workflows
-- summary: One row per workflow that exists.
-- grain: workflow_id
SELECT
    flow.workflow_id,
    flow.name,
    flow.status,
    flow.submitted_at,
    run.started_at,
    coalesce(flow.canceled_at, run.ended_at) AS ended_at,
    date_diff('microsecond', flow.submitted_at, run.started_at) / 1e6 AS queue_wait_s,
    run.duration_s,
    date_diff('microsecond', flow.submitted_at, coalesce(flow.canceled_at, run.ended_at)) / 1e6 AS elapsed_s,
    coalesce(run.runs, 0) AS runs,
    coalesce(task.tasks, 0) AS tasks,
    coalesce(task.tasks_done, 0) AS tasks_done,
    coalesce(task.tasks_failed, 0) AS tasks_failed,
    coalesce(task.attempts, 0) AS attempts,
    coalesce(task.retries, 0) AS retries,
    flow.output_bytes,
    task.total_output_bytes,
    flow.error_type,
    flow.error_message,
    flow.failed_task_id,
    coalesce(flow.described -> '$.metadata', '{}') AS metadata,
    flow.said[1] AS rerun_of,
    flow.submitted_seq,
    CASE
        WHEN flow.decided = 'SUCCESSFUL' THEN 1
        ELSE (task.tasks_done * 1000000 + task.running_parts) / (task.tasks * 1000000)
    END AS progress,
    flow.said[2] AS dag_hash,
    coalesce(flow.submission -> '$.driver.versions', '{}') AS versions,
    flow.said[3] AS git_commit,
    flow.said[4]::BOOLEAN AS git_dirty
FROM (
    SELECT
        *,
        -- several paths at once: JSON is parsed once for all of them
        json_extract_string(
            submission, ['$.rerun_of', '$.shape', '$.driver.git.commit', '$.driver.git.dirty']
        ) AS said
    FROM wfstore.workflow_facts
) AS flow
LEFT JOIN (
    SELECT
        workflow_id,
        count(*) AS runs,
        arg_min(started_at, run) AS started_at,
        arg_max_null(ended_at, run) AS ended_at,
        -- whole numbers, so that the order of the rows cannot show in the sum
        sum(duration_us) / 1e6 AS duration_s
    FROM wfstore.run_facts
    GROUP BY workflow_id
) AS run ON run.workflow_id = flow.workflow_id
LEFT JOIN (
    SELECT
        workflow_id,
        count(*) AS tasks,
        count(CASE WHEN status IN ('SUCCESSFUL', 'CAUGHT') THEN 1 END) AS tasks_done,
        count(CASE WHEN status = 'FAILED' THEN 1 END) AS tasks_failed,
        sum(attempts)::BIGINT AS attempts,
        sum(retries)::BIGINT AS retries,
        sum(output_bytes)::BIGINT AS total_output_bytes,
        -- millionths: whole numbers, as above
        coalesce(sum(
            CASE WHEN status = 'RUNNING' THEN round((told ->> '$.progress')::DOUBLE * 1000000)::BIGINT END
        ), 0)::BIGINT AS running_parts
    FROM wfstore.task_facts
    GROUP BY workflow_id
) AS task ON task.workflow_id = flow.workflow_id
