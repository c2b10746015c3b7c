-- name: shown
-- summary: What a status means now: nobody works on an open workflow whose manager holds no lease any more.
-- grain: one value
CASE WHEN status IN ('PENDING', 'RUNNING') AND NOT alive THEN 'RESUMABLE' ELSE status END
