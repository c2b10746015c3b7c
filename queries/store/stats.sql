-- name: stats
-- summary: How much the log says, and between when and when.
-- grain: the store
SELECT
    (SELECT count(*) FROM main.events) AS events,
    (SELECT count(*) FROM main.workflows) AS workflows,
    (SELECT count(*) FROM wfstore.task_facts) AS tasks,
    (SELECT min(ts) FROM main.events) AS oldest,
    (SELECT max(ts) FROM main.events) AS newest
