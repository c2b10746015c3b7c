-- name: dead
-- summary: Ids that were deleted: nothing about them from before `seq` stays.
-- grain: workflow_id
CREATE TABLE wfstore.dead (workflow_id VARCHAR, seq BIGINT)
