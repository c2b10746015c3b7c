-- name: events
-- summary: The event log itself, every row of it, in log order; rows of deleted workflows included.
-- grain: seq
SELECT
    seq, partition, epoch, ts, type, workflow_id, run, task_id, attempt, status,
    ts_source, task_status, name, kind, request_id, "by", bytes, uri, hash, error_type, error_message,
    node_id, worker_pid, ray_task_id, attributes
FROM wfstore.tail
