-- name: trim_tail
-- summary: Drops the rows that history files hold by now.
-- grain: seq
DELETE FROM wfstore.tail
WHERE seq < $next_seq
