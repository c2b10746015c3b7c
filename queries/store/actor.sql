-- name: actor
-- summary: The one virtual actor there is, as a row; the folds and views stand before it as CTEs.
-- grain: the actor; no row where the workflow is none
SELECT * FROM virtual_actors
