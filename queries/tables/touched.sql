-- name: touched
-- summary: Ids that have rows in the tail: how the first of them begins, and whether older rows were recalled.
-- grain: workflow_id
CREATE TABLE wfstore.touched (workflow_id VARCHAR, first_type VARCHAR, recalled BOOLEAN)
