-- name: critical_path
-- summary: The longest chain of tasks of one workflow: of all that led from one to the next, the one whose durations sum up highest.
-- grain: position
-- param: id VARCHAR = NULL: Id of the workflow; without it the one submitted last.
-- column: workflow_id VARCHAR: Id of the workflow.
-- column: position BIGINT: Place in the chain, from 1.
-- column: task_id VARCHAR: Id of the task.
-- column: task_name VARCHAR: Name of the task.
-- column: type VARCHAR: function, timer, event, event_checkpointed, wait or actor.
-- column: status VARCHAR: Where the task stands.
-- column: wait_s DOUBLE: Seconds it waited for a worker; not part of the chain's length.
-- column: duration_s DOUBLE: Seconds it adds: its last successful (else last) attempt's; 0 without one that ended, and for a wait that got something.
-- column: path_s DOUBLE: Length of the chain up to its end, seconds.
-- column: share DOUBLE: duration_s as a share of the whole chain's length, 0 to 1.
WITH RECURSIVE chosen AS (
    SELECT coalesce(
        $id, (SELECT arg_max(workflow_id, submitted_seq) FROM main.workflows WHERE $id IS NULL)
    ) AS workflow_id
),
-- the parameter itself stands beside what was found, as only that prunes files
task AS MATERIALIZED (
    SELECT
        workflow_id,
        task_id,
        name,
        type,
        status,
        creator,
        ended_at,
        wait_s,
        -- a clock that was set back makes nothing shorter
        greatest(coalesce(round(duration_s * 1e6)::BIGINT, 0), 0) AS duration_us,
        row_number() OVER (ORDER BY defined_seq) AS node
    FROM main.tasks
    WHERE ($id IS NULL OR workflow_id = $id)
      AND workflow_id = (SELECT workflow_id FROM chosen)
),
edge AS MATERIALIZED (
    SELECT task_id, upstream_task_id, kind
    FROM main.edges
    WHERE ($id IS NULL OR workflow_id = $id)
      AND workflow_id = (SELECT workflow_id FROM chosen)
),
given AS MATERIALIZED (
    SELECT
        below.node AS target,
        above.node AS source,
        edge.kind = 'waited' AS waited,
        -- a wait goes on with those that had ended when it did, and not with those that it left behind
        coalesce(edge.kind = 'waited' AND above.ended_at <= below.ended_at, false) AS arrived
    FROM edge
    JOIN task AS below ON below.task_id = edge.task_id
    JOIN task AS above ON above.task_id = edge.upstream_task_id
    WHERE edge.kind NOT IN ('continuation', 'created')
),
continued AS MATERIALIZED (
    SELECT above.node, below.node AS output_node
    FROM edge
    JOIN task AS above ON above.task_id = edge.upstream_task_id
    JOIN task AS below ON below.task_id = edge.task_id
    WHERE edge.kind = 'continuation'
),
weighed AS MATERIALIZED (
    SELECT
        node,
        CASE WHEN node IN (SELECT target FROM given WHERE arrived) THEN 0 ELSE duration_us END AS cost_us
    FROM task
),
-- who takes the output of a task that continued takes that of its continuation: -node is the end of all that it began
step AS MATERIALIZED (
    SELECT coalesce(-continued.node, given.source) AS source, given.target, weighed.cost_us
    FROM given
    JOIN weighed ON weighed.node = given.target
    LEFT JOIN continued ON continued.node = given.source
    WHERE given.arrived OR NOT given.waited
    UNION ALL
    SELECT creator.node, task.node, weighed.cost_us
    FROM task
    JOIN task AS creator ON creator.task_id = task.creator
    JOIN weighed ON weighed.node = task.node
    UNION ALL
    SELECT coalesce(-below.node, continued.output_node), -continued.node, 0
    FROM continued
    LEFT JOIN continued AS below ON below.node = continued.output_node
),
longest (node, path_us, previous, length) USING KEY (node) AS (
    SELECT node, cost_us, NULL::BIGINT, 1
    FROM weighed
    WHERE node NOT IN (SELECT target FROM step)
    UNION
    SELECT
        step.target,
        max(path.path_us + step.cost_us),
        arg_max(path.node, (path.path_us + step.cost_us, path.length, path.node)),
        arg_max(path.length, (path.path_us + step.cost_us, path.length, path.node)) + 1
    FROM longest AS path
    JOIN step ON step.source = path.node
    LEFT JOIN recurring.longest AS best ON best.node = step.target
    -- no chain passes a task twice, whatever the log says
    WHERE path.length <= 2 * (SELECT count(*) FROM task)
    GROUP BY step.target
    HAVING max(path.path_us + step.cost_us) > coalesce(any_value(best.path_us), -1)
),
chain (node, place) AS (
    SELECT node, 0
    FROM (SELECT node FROM longest ORDER BY path_us DESC, length DESC, abs(node) DESC LIMIT 1)
    UNION ALL
    SELECT longest.previous, chain.place + 1
    FROM chain
    JOIN longest ON longest.node = chain.node
    WHERE longest.previous IS NOT NULL
)
SELECT
    task.workflow_id,
    row_number() OVER (ORDER BY chain.place DESC) AS position,
    task.task_id,
    task.name AS task_name,
    task.type,
    task.status,
    task.wait_s,
    weighed.cost_us / 1e6 AS duration_s,
    longest.path_us / 1e6 AS path_s,
    weighed.cost_us / nullif((SELECT max(path_us) FROM longest), 0) AS share
FROM chain
JOIN task ON task.node = chain.node
JOIN weighed ON weighed.node = chain.node
JOIN longest ON longest.node = chain.node
ORDER BY position
