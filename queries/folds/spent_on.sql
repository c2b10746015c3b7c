-- name: spent_on
-- summary: What the time of an ended attempt was spent on; the first that applies counts, so that no second counts twice.
-- grain: one value
CASE
    WHEN attempt_status = 'FAILED' THEN 'failed'
    WHEN attempt_status = 'CANCELED' OR flow_canceled THEN 'canceled'
    WHEN succeeded_again THEN 'repeated'
    WHEN attempt > 1 THEN 'retry'
    ELSE 'first'
END
