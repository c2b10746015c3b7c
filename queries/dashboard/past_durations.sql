-- name: past_durations
-- summary: How many workflows of a name succeeded, $id aside, and the median of how long they took in seconds.
-- grain: the name
SELECT count(*) AS n, quantile_cont(duration_s, 0.5) AS duration_s_p50
FROM main.workflows
WHERE name = $name AND status = 'SUCCESSFUL' AND workflow_id <> $id AND duration_s IS NOT NULL
