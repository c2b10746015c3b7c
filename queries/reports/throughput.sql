-- name: throughput
-- summary: What was done in each span of time, by when the attempts ended.
-- grain: bucket
-- param: bucket INTERVAL = 1h: Length of a span.
-- param: workflow VARCHAR = NULL: Only workflows of this name.
-- param: since TIMESTAMP = NULL: Only attempts that ended from then on.
-- param: until TIMESTAMP = NULL: Only attempts that ended before then.
-- param: limit BIGINT = NULL: How many rows, the earliest ones.
-- column: bucket TIMESTAMP: Beginning of the span, UTC.
-- column: attempts BIGINT: How many attempts ended in it.
-- column: succeeded BIGINT: How many of them successfully.
-- column: failed BIGINT: How many of them failed.
-- column: busy_s DOUBLE: Seconds that they took, summed.
-- column: output_bytes BIGINT: Sizes of their pickled outputs, summed, bytes.
-- column: tasks_per_s DOUBLE: Successful attempts per second of the span.
SELECT
    time_bucket($bucket::INTERVAL, ended_at) AS bucket,
    count(*) AS attempts,
    count(*) FILTER (status = 'SUCCESSFUL') AS succeeded,
    count(*) FILTER (status = 'FAILED') AS failed,
    coalesce(sum(round(duration_s * 1e6)::BIGINT), 0) / 1e6 AS busy_s,
    coalesce(sum(output_bytes), 0)::BIGINT AS output_bytes,
    count(*) FILTER (status = 'SUCCESSFUL') / epoch($bucket::INTERVAL) AS tasks_per_s
FROM main.attempts
WHERE ended_at IS NOT NULL
  AND ($workflow IS NULL OR workflow_name = $workflow)
  AND ($since IS NULL OR ended_at >= $since)
  AND ($until IS NULL OR ended_at < $until)
GROUP BY bucket
ORDER BY bucket
LIMIT $limit
