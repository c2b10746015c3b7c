-- name: time_spent
-- summary: What the time of each attempt went to, from when on its task was there and its run had begun (a retry: from the end of the attempt before) until its output was stored.
-- grain: workflow_id, run, task_id, attempt
WITH made AS (
    SELECT task.workflow_id, task.task_id, creator.ended_at AS defined_at
    FROM main.tasks AS task
    JOIN main.tasks AS creator ON creator.workflow_id = task.workflow_id AND creator.task_id = task.creator
    WHERE task.creator IS NOT NULL
    UNION ALL
    SELECT actor_id, task_id, submitted_at
    FROM main.actor_calls
    WHERE kind = 'writer' AND method <> '__init__'
),
-- an attempt that another one follows in its run has failed
earlier AS (
    SELECT workflow_id, run, task_id, attempt + 1 AS attempt, ended_at
    FROM main.attempts
    WHERE status = 'FAILED'
),
-- few workflows have a second run; of all the others a row of `workflows` says when their run began
later AS (
    SELECT workflow_id, run, started_at
    FROM main.runs
    WHERE run > 1
),
begun AS (
    SELECT
        attempt.*,
        coalesce(later.started_at, flow.started_at) AS run_started_at,
        coalesce(later.started_at > flow.started_at, false) AS resumed,
        flow.submitted_at AS flow_submitted_at,
        greatest(date_diff('microsecond', flow.submitted_at, flow.started_at), 0) AS queued_us
    FROM main.attempts AS attempt
    LEFT JOIN main.workflows AS flow ON flow.workflow_id = attempt.workflow_id
    LEFT JOIN later ON later.workflow_id = attempt.workflow_id AND later.run = attempt.run
),
moment AS (
    SELECT
        attempt.workflow_id,
        attempt.run,
        attempt.task_id,
        attempt.attempt,
        attempt.workflow_name,
        attempt.task_name,
        attempt.task_key,
        attempt.task_type,
        attempt.status,
        attempt.submitted_at,
        attempt.started_at,
        attempt.ended_at,
        round(attempt.fetch_s * 1e6)::BIGINT AS fetch_us,
        round(attempt.checkpoint_s * 1e6)::BIGINT AS checkpoint_us,
        attempt.submitted_seq,
        CASE
            WHEN attempt.attempt > 1 THEN earlier.ended_at
            -- greatest() leaves out what is NULL
            WHEN made.task_id IS NOT NULL OR attempt.resumed THEN greatest(attempt.run_started_at, made.defined_at)
            ELSE attempt.flow_submitted_at
        END AS begun_at,
        CASE WHEN attempt.attempt = 1 AND made.task_id IS NULL AND NOT attempt.resumed THEN attempt.queued_us ELSE 0 END
            AS admission_us,
        attempt.status NOT IN ('PENDING', 'RUNNING') AS over,
        -- what could not be unpickled has no fetch_s, as its user code never began
        coalesce(attempt.kind = 'serialization' AND attempt.fetch_s IS NULL, false) AS unfetched,
        attempt.task_type IN ('timer', 'event', 'wait') AS waits
    FROM begun AS attempt
    LEFT JOIN made ON made.workflow_id = attempt.workflow_id AND made.task_id = attempt.task_id
    LEFT JOIN earlier
        ON earlier.workflow_id = attempt.workflow_id
        AND earlier.run = attempt.run
        AND earlier.task_id = attempt.task_id
        AND earlier.attempt = attempt.attempt
),
-- whole microseconds, so that the parts sum up; clocks differ and are set back, and nothing lasts less than no time
part AS (
    SELECT
        * EXCLUDE (fetch_us, checkpoint_us),
        greatest(coalesce(date_diff('microsecond', begun_at, submitted_at), 0), admission_us) AS before_us,
        CASE
            WHEN started_at IS NOT NULL OR over THEN greatest(
                coalesce(date_diff('microsecond', submitted_at, coalesce(started_at, ended_at)), 0)
                - coalesce(fetch_us, 0),
                0
            )
        END AS ray_queue_us,
        CASE WHEN over THEN greatest(coalesce(date_diff('microsecond', started_at, ended_at), 0), 0) END AS ran_us,
        CASE WHEN over THEN coalesce(fetch_us, 0) END AS fetch_us,
        CASE WHEN over THEN coalesce(checkpoint_us, 0) END AS checkpoint_us
    FROM moment
)
SELECT
    workflow_id,
    run,
    task_id,
    attempt,
    workflow_name,
    task_name,
    task_key,
    task_type,
    status,
    begun_at,
    submitted_at,
    (before_us + ray_queue_us + fetch_us + ran_us + checkpoint_us) / 1e6 AS total_s,
    CASE WHEN attempt = 1 THEN before_us - admission_us ELSE 0 END / 1e6 AS dependency_s,
    admission_us / 1e6 AS admission_s,
    CASE WHEN attempt > 1 THEN before_us ELSE 0 END / 1e6 AS backoff_s,
    ray_queue_us / 1e6 AS ray_queue_s,
    CASE WHEN unfetched THEN ran_us ELSE fetch_us END / 1e6 AS fetch_s,
    CASE WHEN unfetched OR waits THEN ran_us * 0 ELSE ran_us END / 1e6 AS user_s,
    CASE WHEN waits AND NOT unfetched THEN ran_us ELSE ran_us * 0 END / 1e6 AS waiting_s,
    checkpoint_us / 1e6 AS checkpoint_s,
    submitted_seq
FROM part
