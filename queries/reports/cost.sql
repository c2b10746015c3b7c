-- name: cost
-- summary: What ended attempts cost: the resources they held, times how long, times a price per hour; and what of it came to nothing. The parts add up to the whole.
-- grain: value
-- param: by VARCHAR(name|workflow|task_key|user|metadata.KEY) = name: What to group by: name (of the workflows), workflow, task_key, user or metadata.KEY.
-- param: prices JSON = {"cpu":1}: Price per hour of each resource, a JSON object: cpu, gpu, memory (per GiB), and custom resources by name; without it the cost is in CPU hours.
-- param: currency VARCHAR = NULL: What the prices are in; it is only repeated in the answer.
-- param: workflow VARCHAR = NULL: Only workflows of this name.
-- param: since TIMESTAMP = NULL: Only attempts submitted from then on.
-- param: until TIMESTAMP = NULL: Only attempts submitted before then.
-- param: limit BIGINT = NULL: How many rows, the dearest ones.
-- column: value VARCHAR: Value of what it is grouped by; NULL where the log does not say.
-- column: attempts BIGINT: How many attempts it was computed from: those that ended, tasks that only wait left out.
-- column: held_s DOUBLE: Seconds they held their resources: getting arguments, user code, storing the output.
-- column: cpu_hours DOUBLE: CPUs held, times hours.
-- column: gpu_hours DOUBLE: GPUs held, times hours.
-- column: memory_gib_hours DOUBLE: GiB of memory asked for, times hours.
-- column: other_hours JSON: Custom resources held, times hours: an object by their names; NULL where there were none.
-- column: cost DOUBLE: All of it, in the currency of the prices.
-- column: share DOUBLE: cost as a share of all groups, 0 to 1.
-- column: first_cost DOUBLE: Of it for attempts that succeeded at once, and whose output was used.
-- column: retry_cost DOUBLE: For attempts that succeeded, but were not the first of their task in their run.
-- column: fetch_cost DOUBLE: For the time in which these two held resources while they waited for their arguments.
-- column: repeated_cost DOUBLE: For attempts that succeeded, and whose task succeeded again later.
-- column: canceled_cost DOUBLE: For attempts that were canceled, or succeeded in a workflow that is CANCELED.
-- column: failed_cost DOUBLE: For attempts that failed or were lost.
-- column: wasted_share DOUBLE: fetch, repeated, canceled and failed cost as a share of cost, 0 to 1.
-- column: reused BIGINT: How many stored outputs were taken over by a resume instead of being computed again.
-- column: saved_cost DOUBLE: What computing those outputs had cost; it is no part of cost.
-- column: unpriced BIGINT: How many of the attempts asked for something without a price; cost does not have it.
-- column: currency VARCHAR: What cost is in; NULL where it was not said.
-- column: first_at TIMESTAMP: When the first of the attempts was submitted, UTC.
-- column: last_at TIMESTAMP: When the last of them was submitted, UTC.
WITH flow AS (
    SELECT
        workflow.workflow_id,
        CASE
            WHEN $by = 'user'
                THEN coalesce(workflow.metadata ->> '$.user', submission."by")
            -- a JSON pointer, as a key may hold dots and quotes
            ELSE workflow.metadata ->> ('/' || replace(replace(substr($by, 10), '~', '~0'), '/', '~1'))
        END AS said
    FROM main.workflows AS workflow
    LEFT JOIN main.events AS submission
        ON submission.seq = workflow.submitted_seq
        AND submission.type = 'workflow.submitted'
        AND $by = 'user'
    WHERE $by = 'user' OR $by LIKE 'metadata._%'
),
-- few workflows have a later run, and the rest of the log need not be read for what it computes again or takes over
resumed AS MATERIALIZED (
    SELECT DISTINCT workflow_id
    FROM main.runs
    WHERE run > 1 OR tasks_reused > 0
),
succeeded AS MATERIALIZED (
    SELECT
        workflow_id,
        workflow_name,
        task_id,
        task_key,
        task_name,
        task_type,
        run,
        submitted_at,
        submitted_seq,
        resources,
        fetch_s,
        duration_s,
        checkpoint_s
    FROM main.attempts
    WHERE status = 'SUCCESSFUL' AND workflow_id IN (SELECT workflow_id FROM resumed)
),
again AS (
    SELECT workflow_id, task_id, max(submitted_seq) AS last_seq
    FROM succeeded
    WHERE run > 1
    GROUP BY workflow_id, task_id
),
spent AS (
    SELECT
        attempt.workflow_id,
        attempt.workflow_name,
        attempt.task_key,
        attempt.task_name,
        attempt.submitted_at,
        attempt.resources,
        attempt.fetch_s,
        attempt.duration_s,
        attempt.checkpoint_s,
        wfstore.spent_on(
            attempt.status,
            attempt.workflow_id IN (SELECT workflow_id FROM main.workflows WHERE status = 'CANCELED'),
            attempt.submitted_seq IN (
                SELECT earlier.submitted_seq
                FROM succeeded AS earlier
                JOIN again ON again.workflow_id = earlier.workflow_id AND again.task_id = earlier.task_id
                WHERE earlier.submitted_seq < again.last_seq
            ),
            attempt.attempt
        ) AS spent_on
    FROM main.attempts AS attempt
    WHERE attempt.status NOT IN ('PENDING', 'RUNNING')
      AND attempt.task_type NOT IN ('timer', 'event', 'wait')
    UNION ALL
    -- what was reused: the last success before
    SELECT
        event.workflow_id,
        any_value(attempt.workflow_name),
        any_value(attempt.task_key),
        any_value(attempt.task_name),
        max(attempt.submitted_at),
        arg_max(attempt.resources, attempt.submitted_seq),
        arg_max_null(attempt.fetch_s, attempt.submitted_seq),
        arg_max_null(attempt.duration_s, attempt.submitted_seq),
        arg_max_null(attempt.checkpoint_s, attempt.submitted_seq),
        'reused'
    FROM main.events AS event
    JOIN succeeded AS attempt
        ON attempt.workflow_id = event.workflow_id
        AND attempt.task_id = event.task_id
        AND attempt.submitted_seq < event.seq
    WHERE event.type = 'task.reused'
      AND event.workflow_id IN (SELECT workflow_id FROM resumed)
      AND attempt.task_type NOT IN ('timer', 'event', 'wait')
    GROUP BY event.workflow_id, event.seq
),
valued AS (
    SELECT
        CASE
            WHEN $by = 'name' THEN workflow_name
            WHEN $by IN ('workflow', 'user') OR $by LIKE 'metadata._%' THEN workflow_id
            WHEN $by = 'task_key' THEN coalesce(task_key, task_name)
            ELSE error('by takes name, workflow, task_key, user or metadata.KEY')
        END AS value,
        spent.resources,
        spent.spent_on,
        spent.submitted_at,
        round(coalesce(spent.fetch_s, 0) * 1e6)::BIGINT AS fetch_us,
        fetch_us + round((coalesce(spent.duration_s, 0) + coalesce(spent.checkpoint_s, 0)) * 1e6)::BIGINT AS held_us
    FROM spent
    WHERE ($workflow IS NULL OR spent.workflow_name = $workflow)
      AND ($since IS NULL OR spent.submitted_at >= $since)
      AND ($until IS NULL OR spent.submitted_at < $until)
),
-- whole microseconds first: what asks for the same has one price; and whole workflows first: what their metadata say
-- is looked up once for each
by_value AS (
    SELECT
        value,
        resources,
        spent_on,
        count(*) AS attempts,
        sum(held_us) AS held_us,
        CASE WHEN spent_on IN ('first', 'retry') THEN sum(fetch_us) ELSE 0 END AS fetch_us,
        min(submitted_at) AS first_at,
        max(submitted_at) AS last_at
    FROM valued
    GROUP BY value, resources, spent_on
),
held AS MATERIALIZED (
    SELECT *
    FROM by_value
    WHERE NOT ($by = 'user' OR $by LIKE 'metadata._%')
    UNION ALL
    -- not grouped here: DuckDB 2.0 hands on what it has grouped twice with one thread
    SELECT
        flow.said,
        by_value.* EXCLUDE (value)
    FROM by_value
    LEFT JOIN flow ON flow.workflow_id = by_value.value
    WHERE $by = 'user' OR $by LIKE 'metadata._%'
),
requested AS MATERIALIZED (
    SELECT DISTINCT resources
    FROM held
),
asked AS MATERIALIZED (
    SELECT resources, resource, sum(amount) AS amount
    FROM (
        SELECT resources, 'cpu' AS resource, (resources ->> '$.num_cpus')::DOUBLE AS amount
        FROM requested
        UNION ALL
        SELECT resources, 'gpu', (resources ->> '$.num_gpus')::DOUBLE
        FROM requested
        UNION ALL
        SELECT resources, 'memory', (resources ->> '$.memory')::DOUBLE / 1073741824
        FROM requested
        UNION ALL
        SELECT resources, custom.key, custom.value::DOUBLE
        FROM requested, json_each(resources -> '$.resources') AS custom
    )
    WHERE amount > 0
    GROUP BY resources, resource
),
price AS (
    SELECT key AS resource, value::DOUBLE AS per_hour
    FROM json_each($prices::JSON)
),
rate AS MATERIALIZED (
    SELECT
        requested.resources,
        coalesce(sum(asked.amount * price.per_hour), 0) AS per_hour,
        coalesce(sum(asked.amount) FILTER (asked.resource = 'cpu'), 0) AS cpus,
        coalesce(sum(asked.amount) FILTER (asked.resource = 'gpu'), 0) AS gpus,
        coalesce(sum(asked.amount) FILTER (asked.resource = 'memory'), 0) AS memory_gib,
        requested.resources IS NULL OR count(asked.resource) > count(price.resource) AS unpriced
    FROM requested
    LEFT JOIN asked ON asked.resources = requested.resources
    LEFT JOIN price ON price.resource = asked.resource
    GROUP BY requested.resources
),
-- whole tiny parts of the currency add up, whatever they are grouped by
priced AS (
    SELECT
        held.*,
        rate.* EXCLUDE (resources, per_hour),
        round(rate.per_hour * held.held_us * (1e15 / 3.6e9))::HUGEINT AS cost,
        round(rate.per_hour * held.fetch_us * (1e15 / 3.6e9))::HUGEINT AS fetch_cost
    FROM held
    JOIN rate ON rate.resources IS NOT DISTINCT FROM held.resources
),
other AS (
    SELECT value, json_group_object(resource, hours) AS hours
    FROM (
        SELECT held.value, asked.resource, sum(held.held_us * asked.amount) / 3.6e9 AS hours
        FROM held
        JOIN asked ON asked.resources = held.resources
        WHERE asked.resource NOT IN ('cpu', 'gpu', 'memory') AND held.spent_on <> 'reused'
        GROUP BY held.value, asked.resource
        ORDER BY asked.resource
    )
    GROUP BY value
),
summed AS MATERIALIZED (
    SELECT
        value,
        coalesce(sum(attempts) FILTER (spent_on <> 'reused'), 0)::BIGINT AS attempts,
        coalesce(sum(held_us) FILTER (spent_on <> 'reused'), 0) AS held_us,
        coalesce(sum(held_us * cpus) FILTER (spent_on <> 'reused'), 0) / 3.6e9 AS cpu_hours,
        coalesce(sum(held_us * gpus) FILTER (spent_on <> 'reused'), 0) / 3.6e9 AS gpu_hours,
        coalesce(sum(held_us * memory_gib) FILTER (spent_on <> 'reused'), 0) / 3.6e9 AS memory_gib_hours,
        coalesce(sum(cost) FILTER (spent_on <> 'reused'), 0) AS cost,
        coalesce(sum(cost - fetch_cost) FILTER (spent_on = 'first'), 0) AS first_cost,
        coalesce(sum(cost - fetch_cost) FILTER (spent_on = 'retry'), 0) AS retry_cost,
        sum(fetch_cost) AS fetch_cost,
        coalesce(sum(cost) FILTER (spent_on = 'repeated'), 0) AS repeated_cost,
        coalesce(sum(cost) FILTER (spent_on = 'canceled'), 0) AS canceled_cost,
        coalesce(sum(cost) FILTER (spent_on = 'failed'), 0) AS failed_cost,
        coalesce(sum(attempts) FILTER (spent_on = 'reused'), 0)::BIGINT AS reused,
        coalesce(sum(cost) FILTER (spent_on = 'reused'), 0) AS saved_cost,
        coalesce(sum(attempts) FILTER (spent_on <> 'reused' AND unpriced), 0)::BIGINT AS unpriced,
        min(first_at) AS first_at,
        max(last_at) AS last_at
    FROM priced
    GROUP BY value
)
SELECT
    summed.value,
    summed.attempts,
    summed.held_us / 1e6 AS held_s,
    summed.cpu_hours,
    summed.gpu_hours,
    summed.memory_gib_hours,
    other.hours AS other_hours,
    summed.cost / 1e15 AS cost,
    summed.cost / nullif((SELECT sum(cost) FROM summed), 0) AS share,
    summed.first_cost / 1e15 AS first_cost,
    summed.retry_cost / 1e15 AS retry_cost,
    summed.fetch_cost / 1e15 AS fetch_cost,
    summed.repeated_cost / 1e15 AS repeated_cost,
    summed.canceled_cost / 1e15 AS canceled_cost,
    summed.failed_cost / 1e15 AS failed_cost,
    (summed.cost - summed.first_cost - summed.retry_cost) / nullif(summed.cost, 0) AS wasted_share,
    summed.reused,
    summed.saved_cost / 1e15 AS saved_cost,
    summed.unpriced,
    $currency::VARCHAR AS currency,
    summed.first_at,
    summed.last_at
FROM summed
LEFT JOIN other ON other.value IS NOT DISTINCT FROM summed.value
-- so few are left to be put in order
WHERE summed.cost >= (
    SELECT min(cost)
    FROM (SELECT cost FROM summed ORDER BY cost DESC LIMIT $limit)
)
ORDER BY cost DESC, held_s DESC, value
LIMIT $limit
