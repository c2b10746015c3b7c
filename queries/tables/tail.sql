-- name: tail
-- summary: The rows that are in no history file yet, in log order, without their payloads.
-- grain: seq
CREATE TABLE wfstore.tail (
    seq BIGINT,
    partition SMALLINT,
    epoch INTEGER,
    ts TIMESTAMP,
    ts_source TIMESTAMP,
    type VARCHAR,
    workflow_id VARCHAR,
    run INTEGER,
    task_id VARCHAR,
    attempt INTEGER,
    status VARCHAR,
    task_status VARCHAR,
    name VARCHAR,
    kind VARCHAR,
    request_id VARCHAR,
    "by" VARCHAR,
    bytes BIGINT,
    uri VARCHAR,
    hash VARCHAR,
    error_type VARCHAR,
    error_message VARCHAR,
    node_id VARCHAR,
    worker_pid INTEGER,
    ray_task_id VARCHAR,
    attributes JSON
)
