-- name: facts
-- summary: Facts out of the history files of one kind, where all of them count.
-- grain: that of the view they are rows of
SELECT * EXCLUDE (as_of)
FROM read_parquet($paths)
