-- name: critical_path
-- summary: The longest chain of tasks of one workflow: of all that led from one to the next, the one whose durations sum up highest.
-- grain: task_id
-- param: id VARCHAR = NULL: Id of the workflow; without it the one submitted last.
-- param: scope VARCHAR(path|all) = path: The tasks of the chain alone (path), or after them all others too, with their slack (all).
-- column: workflow_id VARCHAR: Id of the workflow.
-- column: position BIGINT: Place in the chain, from 1; NULL beside it.
-- column: task_id VARCHAR: Id of the task.
-- column: task_name VARCHAR: Name of the task.
-- column: task_key VARCHAR: What makes it comparable across workflows, as in tasks.
-- column: type VARCHAR: function, timer, event, event_checkpointed, wait or actor.
-- column: status VARCHAR: Where the task stands.
-- column: wait_s DOUBLE: Seconds it waited for a worker; not part of the chain's length.
-- column: duration_s DOUBLE: Seconds it adds: its last successful (else last) attempt's; 0 without one that ended, and for a wait that got something.
-- column: path_s DOUBLE: Length of the chain up to its end, seconds; beside the chain, of the longest one that leads there.
-- column: share DOUBLE: duration_s as a share of the whole chain's length, 0 to 1.
-- column: slack_s DOUBLE: Latest finish minus earliest finish: seconds by which it could have ended later and the chain been none longer; NULL where it has no duration yet.
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
        task_key,
        type,
        status,
        creator,
        ended_at,
        wait_s,
        duration_s IS NOT NULL AS timed,
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
),
-- the same from the other end: what comes after a node at most
after (node, tail_us, length) USING KEY (node) AS (
    SELECT longest.node, 0::BIGINT, 1
    FROM longest
    WHERE $scope <> 'path' AND longest.node NOT IN (SELECT source FROM step)
    UNION
    SELECT step.source, max(after.tail_us + step.cost_us), any_value(after.length) + 1
    FROM after
    JOIN step ON step.target = after.node
    LEFT JOIN recurring.after AS best ON best.node = step.source
    WHERE after.length <= 2 * (SELECT count(*) FROM task)
    GROUP BY step.source
    HAVING max(after.tail_us + step.cost_us) > coalesce(any_value(best.tail_us), -1)
),
placed AS (
    SELECT node, row_number() OVER (ORDER BY place DESC) AS position
    FROM chain
    WHERE node > 0
)
SELECT
    task.workflow_id,
    placed.position,
    task.task_id,
    task.name AS task_name,
    task.task_key,
    task.type,
    task.status,
    task.wait_s,
    weighed.cost_us / 1e6 AS duration_s,
    longest.path_us / 1e6 AS path_s,
    weighed.cost_us / nullif((SELECT max(path_us) FROM longest), 0) AS share,
    CASE
        WHEN NOT task.timed THEN NULL
        WHEN placed.position IS NOT NULL THEN 0
        ELSE ((SELECT max(path_us) FROM longest) - longest.path_us - after.tail_us) / 1e6
    END AS slack_s
FROM task
JOIN weighed ON weighed.node = task.node
JOIN longest ON longest.node = task.node
LEFT JOIN after ON after.node = task.node
LEFT JOIN placed ON placed.node = task.node
WHERE (placed.position IS NOT NULL OR $scope = 'all')
  AND CASE WHEN $scope IN ('path', 'all') THEN true ELSE error('scope is path or all, not ' || $scope) END
ORDER BY placed.position NULLS LAST, task.node
