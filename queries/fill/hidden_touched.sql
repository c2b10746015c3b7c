-- name: hidden_touched
-- summary: Hides facts about ids that went on in the tail; of one that was submitted there, files hold none that count.
-- grain: workflow_id, from_seq
INSERT INTO wfstore.hidden
SELECT workflow_id, 9223372036854775807
FROM wfstore.touched
WHERE NOT recalled
  AND first_type <> 'workflow.submitted'
