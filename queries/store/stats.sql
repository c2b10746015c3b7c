-- name: stats
-- summary: How much the log says, and between when and when.
-- grain: the store
SELECT
    (SELECT count(*) FROM main.events) AS events,
    (SELECT count(*) FROM main.workflows) AS workflows,
    (SELECT count(*) FROM main.tasks) AS tasks,
    (SELECT count(*) FROM wfstore.tail) AS tail_events,
    (SELECT min(ts) FROM main.events) AS oldest,
    (SELECT max(ts) FROM main.events) AS newest
