-- name: ranges
-- summary: Where ranges of ids with about so many events each begin, in order.
-- grain: a range of ids
SELECT min(workflow_id) AS low, sum(events)::BIGINT AS events
FROM (
    SELECT workflow_id, events, sum(events) OVER (ORDER BY workflow_id) // $events AS number
    FROM (
        SELECT workflow_id, count(*) AS events
        FROM main.events
        WHERE workflow_id IS NOT NULL
        GROUP BY workflow_id
    )
)
GROUP BY number
ORDER BY low
