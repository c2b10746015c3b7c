-- name: gone_table
-- summary: Ids that were deleted after the moment, and whose events went; partly: some may be left, which tell nothing.
-- grain: workflow_id, seq
CREATE TABLE IF NOT EXISTS wfstore.gone (workflow_id VARCHAR, seq BIGINT, partly BOOLEAN)
