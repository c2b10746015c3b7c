-- name: lease
-- summary: One row: whether a manager holds the store at this moment.
-- grain: the store
CREATE TABLE wfstore.lease AS SELECT false AS alive
