-- name: nobody
-- summary: What stands for the lease where it makes no difference whether a manager holds one.
-- grain: the store
SELECT false AS alive
