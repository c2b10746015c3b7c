-- name: growth
-- summary: What each span of time (a day) added to the store: events, and payload bytes by kind; deleted workflows count; function bodies and shared arguments do not.
-- grain: bucket
-- param: bucket INTERVAL = 1d: Length of a span.
-- param: since TIMESTAMP = NULL: Only events from then on.
-- param: until TIMESTAMP = NULL: Only events before then.
-- param: limit BIGINT = NULL: How many rows, the earliest ones.
-- column: bucket TIMESTAMP: Beginning of the span, UTC.
-- column: events BIGINT: How many events.
-- column: workflow_events BIGINT: How many of them are about workflows themselves.
-- column: task_events BIGINT: How many are about tasks.
-- column: attempt_events BIGINT: How many are about attempts.
-- column: other_events BIGINT: How many are about anything else: waits, virtual actors, the manager.
-- column: workflows BIGINT: How many workflows were submitted.
-- column: argument_bytes BIGINT: Pickled arguments of tasks, bytes.
-- column: output_bytes BIGINT: Pickled outputs that were kept, bytes.
-- column: error_bytes BIGINT: Pickled errors, bytes.
-- column: state_bytes BIGINT: Pickled states of virtual actors, bytes.
-- column: inline_bytes BIGINT: How much of all these lies in the log itself, bytes.
-- column: file_bytes BIGINT: Sizes of the payload files that came with it, each counted when it was first named, bytes.
-- column: payload_bytes BIGINT: inline_bytes and file_bytes: what is on the disk because of it, bytes.
WITH said AS (
    SELECT
        time_bucket($bucket::INTERVAL, ts) AS bucket,
        type,
        uri IS NULL AS inline,
        count(*) AS events,
        -- the end of a workflow names the output of a task again
        sum(bytes) FILTER (
            type IN (
                'task.defined', 'attempt.succeeded', 'attempt.failed', 'task.error_caught', 'actor.state_committed',
                'event.sent'
            )
        ) AS bytes
    FROM main.events
    WHERE ($since IS NULL OR ts >= $since)
      AND ($until IS NULL OR ts < $until)
    GROUP BY ALL
),
-- an output that was not kept has a size, and no place
gone AS (
    SELECT time_bucket($bucket::INTERVAL, ts) AS bucket, sum(bytes) AS bytes
    FROM main.events
    WHERE type = 'attempt.succeeded'
      AND uri IS NULL
      -- looking for the word first spares the parsing of nearly all
      AND contains(attributes, 'false')
      AND NOT coalesce((attributes ->> '$.checkpointed')::BOOLEAN, true)
      AND ($since IS NULL OR ts >= $since)
      AND ($until IS NULL OR ts < $until)
    GROUP BY ALL
),
file AS (
    SELECT time_bucket($bucket::INTERVAL, first_at) AS bucket, sum(bytes) AS bytes
    FROM (
        SELECT arg_min(ts, seq) AS first_at, any_value(bytes) AS bytes
        FROM main.events
        WHERE uri IS NOT NULL AND type <> 'workflow.succeeded'
        GROUP BY uri
    )
    WHERE ($since IS NULL OR first_at >= $since)
      AND ($until IS NULL OR first_at < $until)
    GROUP BY ALL
),
span AS (
    SELECT
        bucket,
        sum(events)::BIGINT AS events,
        coalesce(sum(events) FILTER (starts_with(type, 'workflow.')), 0)::BIGINT AS workflow_events,
        coalesce(sum(events) FILTER (starts_with(type, 'task.')), 0)::BIGINT AS task_events,
        coalesce(sum(events) FILTER (starts_with(type, 'attempt.')), 0)::BIGINT AS attempt_events,
        coalesce(sum(events) FILTER (type = 'workflow.submitted'), 0)::BIGINT AS workflows,
        coalesce(sum(bytes) FILTER (type = 'task.defined'), 0)::BIGINT AS argument_bytes,
        coalesce(sum(bytes) FILTER (type = 'attempt.succeeded'), 0)::BIGINT AS output_bytes,
        coalesce(sum(bytes) FILTER (type IN ('attempt.failed', 'task.error_caught')), 0)::BIGINT AS error_bytes,
        coalesce(sum(bytes) FILTER (type = 'actor.state_committed'), 0)::BIGINT AS state_bytes,
        coalesce(sum(bytes) FILTER (inline), 0)::BIGINT AS inline_bytes
    FROM said
    GROUP BY bucket
)
SELECT
    span.bucket,
    span.events,
    span.workflow_events,
    span.task_events,
    span.attempt_events,
    span.events - span.workflow_events - span.task_events - span.attempt_events AS other_events,
    span.workflows,
    span.argument_bytes,
    (span.output_bytes - coalesce(gone.bytes, 0))::BIGINT AS output_bytes,
    span.error_bytes,
    span.state_bytes,
    (span.inline_bytes - coalesce(gone.bytes, 0))::BIGINT AS inline_bytes,
    coalesce(file.bytes, 0)::BIGINT AS file_bytes,
    (span.inline_bytes - coalesce(gone.bytes, 0) + coalesce(file.bytes, 0))::BIGINT AS payload_bytes
FROM span
LEFT JOIN gone ON gone.bucket = span.bucket
LEFT JOIN file ON file.bucket = span.bucket
ORDER BY span.bucket
LIMIT $limit
