-- name: standing
-- summary: What an open status means now: nobody works on an open workflow whose manager holds no lease any more.
-- grain: status
SELECT open.status, CASE WHEN lease.alive THEN open.status ELSE 'RESUMABLE' END AS shown
FROM wfstore.lease AS lease, (VALUES ('PENDING'), ('RUNNING')) AS open (status)
