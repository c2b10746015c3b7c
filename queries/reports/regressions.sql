-- name: regressions
-- summary: What became worse: how long tasks take, their output sizes, retries and waits, after a moment (or with some code) against before it.
-- grain: workflow_name, task_key, measure
-- param: since TIMESTAMP = 7d: After: workflows submitted from then on.
-- param: baseline INTERVAL = 28d: Before: those submitted within this time before since.
-- param: until TIMESTAMP = NULL: Only workflows submitted before then.
-- param: code VARCHAR = NULL: Instead of since and baseline; after: tasks whose code_hash, or workflows whose git_commit, begins with this.
-- param: baseline_code VARCHAR = NULL: Before: those of this code_hash or git_commit; without it whatever is not of code.
-- param: workflow VARCHAR = NULL: Only workflows of this name.
-- param: task VARCHAR = NULL: Only tasks of this task_key.
-- param: measure VARCHAR(duration_s|output_bytes|retries|queue_s) = NULL: Only this one: duration_s, output_bytes, retries or queue_s.
-- param: min_ratio DOUBLE = 1.1: How many times as much it has to be to count as worse.
-- param: max_p DOUBLE = 0.02: The share of keys that may be reported of a measure in which nothing changed.
-- param: max_q DOUBLE = 0.2: The share of false rows that is accepted among those of one measure (Benjamini and Hochberg).
-- param: least BIGINT = 10: With fewer workflows than this on a side nothing is said of a task.
-- param: most BIGINT = 500: At most so many workflows of a name are taken on each side, drawn evenly.
-- param: verdict VARCHAR(worse|no worse|too few|any) = worse: Only rows of this verdict; any for all that was compared or left out.
-- column: workflow_name VARCHAR: Name of the workflows.
-- column: task_key VARCHAR: What makes the tasks comparable; see tasks.
-- column: measure VARCHAR: duration_s (of successful tasks), output_bytes (of them), retries (for each task), or queue_s (wait for a worker).
-- column: verdict VARCHAR: worse, no worse, or too few (workflows on a side).
-- column: n_before BIGINT: How many workflows before. The tasks of a key in one workflow count as one, by their median.
-- column: n_after BIGINT: How many workflows after.
-- column: value_before DOUBLE: Median before, in seconds or bytes; of retries the mean.
-- column: value_after DOUBLE: Median after; of retries the mean.
-- column: ratio DOUBLE: How many times as much after as before.
-- column: ratio_low DOUBLE: Lower end of its 95 % confidence interval (Price and Bonett 2002).
-- column: ratio_high DOUBLE: Upper end of it.
-- column: p DOUBLE: Chance of such a difference, or a larger one, where nothing became worse: Mann and Whitney's rank test, one-sided, with ties; Fisher's exact test where most values are the least there is.
-- column: q DOUBLE: p with regard to how many keys were compared: the share of false rows among those up to this one.
-- column: changed_at TIMESTAMP: When the first workflow after the change was submitted, UTC: where Pettitt's rank statistic is largest, or code changed close to that.
-- column: first_workflow_id VARCHAR: That workflow, the first of those compared that shows it.
-- column: code_hash_before VARCHAR: Code of the task in the workflow before that one; NULL where not known.
-- column: code_hash VARCHAR: Code of the task in that one.
-- column: git_commit_before VARCHAR: Commit of the workflow before that one.
-- column: git_commit VARCHAR: Commit of that one.
-- column: versions_changed VARCHAR: Versions that changed with it, as "ray 2.59.0 -> 2.60.0"; empty where none did.
-- column: keys_compared BIGINT: How many task keys were compared in this measure.
-- column: keys_left_out BIGINT: How many were not, for want of workflows on a side.
WITH coded AS MATERIALIZED (
    -- with code instead of a moment: which workflows have it, and which have that of before
    SELECT workflow_id, bool_or(later) AS later
    FROM (
        SELECT workflow_id, starts_with(code_hash, $code) AS later
        FROM main.tasks
        WHERE $code IS NOT NULL
          AND code_hash IS NOT NULL
          AND ($baseline_code IS NULL OR starts_with(code_hash, $code) OR starts_with(code_hash, $baseline_code))
        UNION ALL
        SELECT workflow_id, starts_with(git_commit, $code)
        FROM main.workflows
        WHERE $code IS NOT NULL
          AND git_commit IS NOT NULL
          AND ($baseline_code IS NULL OR starts_with(git_commit, $code) OR starts_with(git_commit, $baseline_code))
    )
    GROUP BY workflow_id
),
flow AS (
    SELECT workflow_id, name, submitted_at, submitted_seq, git_commit, versions, submitted_at >= $since AS later
    FROM main.workflows
    WHERE $code IS NULL
      AND submitted_at >= $since::TIMESTAMP - $baseline::INTERVAL
      AND ($until IS NULL OR submitted_at < $until)
      AND ($workflow IS NULL OR name = $workflow)
    UNION ALL
    SELECT workflow_id, name, submitted_at, submitted_seq, git_commit, versions, coded.later
    FROM main.workflows
    JOIN coded USING (workflow_id)
    WHERE $code IS NOT NULL
      AND ($until IS NULL OR submitted_at < $until)
      AND ($workflow IS NULL OR name = $workflow)
),
chosen AS MATERIALIZED (
    SELECT unnest(arg_min(flow, hash(workflow_id), greatest($most::BIGINT, 1)), recursive := true)
    FROM flow
    GROUP BY name, later
),
taken AS (
    SELECT
        chosen.name AS workflow_name,
        task.task_key,
        chosen.submitted_seq,
        chosen.submitted_at,
        chosen.git_commit,
        chosen.versions::VARCHAR AS versions,
        task.code_hash,
        CASE
            WHEN $code IS NULL THEN chosen.later
            WHEN starts_with(task.code_hash, $code) OR starts_with(chosen.git_commit, $code) THEN true
            WHEN $baseline_code IS NULL
              OR starts_with(task.code_hash, $baseline_code)
              OR starts_with(chosen.git_commit, $baseline_code)
            THEN false
        END AS later,
        CASE WHEN task.status = 'SUCCESSFUL' THEN task.duration_s END AS duration_s,
        CASE WHEN task.status = 'SUCCESSFUL' THEN task.output_bytes END AS output_bytes,
        CASE WHEN task.attempts > 0 THEN task.retries END AS retries,
        task.wait_s
    FROM main.tasks AS task
    JOIN chosen ON chosen.workflow_id = task.workflow_id
    WHERE task.type NOT IN ('timer', 'event', 'wait')
      AND ($task IS NULL OR task.task_key = $task)
),
-- members of a fan-out are not independent of each other: one value for each workflow
unit AS MATERIALIZED (
    SELECT
        workflow_name,
        task_key,
        submitted_seq,
        bool_or(later) AS later,
        any_value(submitted_at) AS submitted_at,
        any_value(git_commit) AS git_commit,
        any_value(versions) AS versions,
        min(code_hash) AS code_hash,
        median(duration_s)::DOUBLE AS duration_s,
        median(output_bytes)::DOUBLE AS output_bytes,
        avg(retries)::DOUBLE AS retries,
        median(wait_s)::DOUBLE AS queue_s
    FROM taken
    WHERE later IS NOT NULL
    GROUP BY workflow_name, task_key, submitted_seq
),
task_key AS MATERIALIZED (
    SELECT workflow_name, task_key, row_number() OVER (ORDER BY workflow_name, task_key) AS key
    FROM unit
    GROUP BY workflow_name, task_key
    -- of what has nothing of the code that was asked about there is nothing to say
    HAVING $code IS NULL OR bool_or(later)
),
-- below these there is nothing but noise: a microsecond, a byte, a millisecond of waiting
valued AS MATERIALIZED (
    SELECT
        task_key.key,
        long.submitted_seq,
        long.later,
        long.measure,
        greatest(
            long.value,
            CASE long.measure WHEN 'duration_s' THEN 1e-6 WHEN 'output_bytes' THEN 1 WHEN 'queue_s' THEN 1e-3 ELSE 0 END
        ) AS value
    FROM (
        UNPIVOT (
            SELECT workflow_name, task_key, submitted_seq, later, duration_s, output_bytes, retries, queue_s FROM unit
        )
        ON duration_s, output_bytes, retries, queue_s INTO NAME measure VALUE value
    ) AS long
    JOIN task_key USING (workflow_name, task_key)
    WHERE ($measure IS NULL OR long.measure = $measure)
),
-- one row for each value there is, and how many of each side are no larger
placed AS MATERIALIZED (
    SELECT
        key,
        measure,
        value,
        before,
        after,
        sum(before) OVER up_to AS before_up_to,
        sum(after) OVER up_to AS after_up_to,
        sum(before + after) OVER up_to - (before + after - 1) / 2 AS place,
        sum(before) OVER (PARTITION BY key, measure) AS n_before,
        sum(after) OVER (PARTITION BY key, measure) AS n_after
    FROM (
        SELECT
            key,
            measure,
            value,
            (count(*) FILTER (NOT later))::DOUBLE AS before,
            (count(*) FILTER (later))::DOUBLE AS after
        FROM valued
        GROUP BY key, measure, value
    )
    WINDOW up_to AS (PARTITION BY key, measure ORDER BY value ROWS UNBOUNDED PRECEDING)
),
-- which values of a side in their order are about two standard errors of the median away from it
bounded AS (
    SELECT
        *,
        greatest(1, round((n_before + 1) / 2 - sqrt(n_before))) AS low_before,
        greatest(1, round((n_after + 1) / 2 - sqrt(n_after))) AS low_after
    FROM placed
),
summed AS (
    SELECT
        key,
        measure,
        any_value(n_before) AS n_before,
        any_value(n_after) AS n_after,
        any_value(low_before) AS low_before,
        any_value(low_after) AS low_after,
        sum(place * after) AS places_after,
        -- how many of each side have more than the least there is
        any_value(n_before) - arg_min(before, value) AS more_before,
        any_value(n_after) - arg_min(after, value) AS more_after,
        sum(pow(before + after, 3) - before - after) AS ties,
        CASE WHEN measure = 'retries'
            THEN sum(value * before) / any_value(n_before)
            ELSE (min(value) FILTER (before_up_to >= floor((n_before + 1) / 2))
                + min(value) FILTER (before_up_to >= floor((n_before + 2) / 2))) / 2
        END AS value_before,
        CASE WHEN measure = 'retries'
            THEN sum(value * after) / any_value(n_after)
            ELSE (min(value) FILTER (after_up_to >= floor((n_after + 1) / 2))
                + min(value) FILTER (after_up_to >= floor((n_after + 2) / 2))) / 2
        END AS value_after,
        sum(value * value * before) AS squares_before,
        sum(value * value * after) AS squares_after,
        min(value) FILTER (before_up_to >= low_before) AS lower_before,
        min(value) FILTER (after_up_to >= low_after) AS lower_after,
        min(value) FILTER (before_up_to >= n_before + 1 - low_before) AS upper_before,
        min(value) FILTER (after_up_to >= n_after + 1 - low_after) AS upper_after
    FROM bounded
    GROUP BY key, measure
),
-- the deviation of the rank sum in standard errors; the logarithm of the ratio and its variance
compared AS (
    SELECT
        *,
        (places_after - n_after * (n_after + 1) / 2 - n_before * n_after / 2 - 0.5)
            / nullif(sqrt(n_before * n_after / 12 * (
                n_before + n_after + 1 - ties / ((n_before + n_after) * (n_before + n_after - 1))
            )), 0) AS deviation,
        CASE WHEN measure = 'retries'
            -- half a retry more on each side, so that none at all is a number too
            THEN ln((value_after + 0.5 / n_after) / (value_before + 0.5 / n_before))
            ELSE ln(value_after / value_before)
        END AS log_ratio,
        CASE WHEN measure = 'retries'
            THEN (squares_before / n_before - pow(value_before, 2)) / (n_before - 1) / pow(value_before + 0.5 / n_before, 2)
                + (squares_after / n_after - pow(value_after, 2)) / (n_after - 1) / pow(value_after + 0.5 / n_after, 2)
            ELSE pow(ln(upper_before / lower_before) / 2 / ((n_before + 1 - 2 * low_before) / sqrt(n_before)), 2)
                + pow(ln(upper_after / lower_after) / 2 / ((n_after + 1 - 2 * low_after) / sqrt(n_after)), 2)
        END AS log_variance
    FROM summed
    WHERE least(n_before, n_after) >= greatest($least, 2)
),
likely AS (
    SELECT
        *,
        -- Where most have the least (no retries, no wait) the ranks are far from normal. Whether more of them have more
        -- is told by Fisher's exact test then: by the chance that so many of all with more are after.
        CASE WHEN more_before + more_after < (n_before + n_after) / 2 THEN list_sum(list_transform(
            range(more_after::BIGINT, least(more_before + more_after, n_after)::BIGINT + 1),
            lambda x: exp(
                lgamma(more_before + more_after + 1) - lgamma(x + 1) - lgamma(more_before + more_after - x + 1)
                + lgamma(n_before + n_after - more_before - more_after + 1) - lgamma(n_after - x + 1)
                - lgamma(n_before - more_before - more_after + x + 1)
                - lgamma(n_before + n_after + 1) + lgamma(n_after + 1) + lgamma(n_before + 1)
            )
        )) END AS exact,
        1 / (1 + 0.5 * abs(coalesce(deviation, -40)) / sqrt(2)) AS t,
        coalesce(deviation, -40) AS z
    FROM compared
),
tested AS (
    SELECT
        *,
        least(1, p * count(*) OVER (PARTITION BY measure) / count(*) OVER (PARTITION BY measure ORDER BY p)) AS raised
    FROM (
        SELECT
            * EXCLUDE (t, z, tail, exact),
            CASE WHEN exact IS NOT NULL THEN least(exact, 1) WHEN z >= 0 THEN tail ELSE 1 - tail END AS p
        FROM (
            SELECT
                *,
                -- erfc(|z| / sqrt 2) / 2 by Chebyshev's fit, right to 1.2e-7 of itself (Numerical Recipes, erfcc)
                0.5 * t * exp(
                    -z * z / 2 - 1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806
                    + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277))))))))
                ) AS tail
            FROM likely
        )
    )
),
judged AS MATERIALIZED (
    SELECT
        summed.key,
        summed.measure,
        summed.n_before,
        summed.n_after,
        summed.value_before,
        summed.value_after,
        exp(tested.log_ratio) AS ratio,
        exp(tested.log_ratio - 1.959964 * sqrt(greatest(tested.log_variance, 0))) AS ratio_low,
        exp(tested.log_ratio + 1.959964 * sqrt(greatest(tested.log_variance, 0))) AS ratio_high,
        tested.p,
        min(tested.raised) OVER (PARTITION BY summed.measure ORDER BY tested.p DESC) AS q,
        count(tested.p) OVER (PARTITION BY summed.measure) AS keys_compared,
        count(*) FILTER (tested.p IS NULL) OVER (PARTITION BY summed.measure) AS keys_left_out
    FROM summed
    LEFT JOIN tested ON tested.key = summed.key AND tested.measure = summed.measure
),
worded AS MATERIALIZED (
    SELECT
        *,
        CASE
            WHEN p IS NULL THEN 'too few'
            WHEN p <= $max_p AND q <= $max_q AND ratio >= $min_ratio THEN 'worse'
            ELSE 'no worse'
        END AS verdict
    FROM judged
),
-- Pettitt (1979): how far the ranks up to the workflow before this one lie below what they would sum up to by chance
series AS (
    SELECT
        valued.key,
        valued.measure,
        unit.*,
        row_number() OVER order_of AS position,
        (row_number() OVER order_of - 1) * (worded.n_before + worded.n_after + 1) / 2
            - coalesce(sum(placed.place) OVER (order_of ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS drop
    FROM worded
    JOIN valued ON valued.key = worded.key AND valued.measure = worded.measure
    JOIN placed ON placed.key = valued.key AND placed.measure = valued.measure AND placed.value = valued.value
    JOIN task_key ON task_key.key = worded.key
    JOIN unit
        ON unit.workflow_name = task_key.workflow_name
        AND unit.task_key = task_key.task_key
        AND unit.submitted_seq = valued.submitted_seq
    WHERE worded.verdict = 'worse'
    WINDOW order_of AS (PARTITION BY valued.key, valued.measure ORDER BY unit.submitted_seq)
),
candidate AS (
    SELECT
        *,
        lag(code_hash) OVER order_of AS code_hash_before,
        lag(git_commit) OVER order_of AS git_commit_before,
        lag(versions) OVER order_of AS versions_before,
        CASE
            WHEN drop < 0.9 * max(drop) OVER (PARTITION BY key, measure) OR position = 1 THEN 0
            WHEN $code IS NOT NULL AND later
                AND row_number() OVER (PARTITION BY key, measure, later ORDER BY position) = 1 THEN 3
            WHEN code_hash IS NOT NULL
                AND row_number() OVER (PARTITION BY key, measure, code_hash ORDER BY position) = 1 THEN 2
            WHEN row_number() OVER (PARTITION BY key, measure, git_commit, versions ORDER BY position) = 1 THEN 1
            ELSE 0
        END AS reason
    FROM series
    WINDOW order_of AS (PARTITION BY key, measure ORDER BY position)
),
change AS (
    SELECT key, measure, unnest(arg_max(candidate, (reason, drop)))
    FROM candidate
    GROUP BY key, measure
)
SELECT
    task_key.workflow_name,
    task_key.task_key,
    worded.measure,
    worded.verdict,
    worded.n_before::BIGINT AS n_before,
    worded.n_after::BIGINT AS n_after,
    worded.value_before,
    worded.value_after,
    worded.ratio,
    worded.ratio_low,
    worded.ratio_high,
    worded.p,
    CASE WHEN worded.p IS NOT NULL THEN worded.q END AS q,
    change.submitted_at AS changed_at,
    chosen.workflow_id AS first_workflow_id,
    change.code_hash_before,
    change.code_hash,
    change.git_commit_before,
    change.git_commit,
    CASE WHEN change.key IS NOT NULL THEN concat_ws(', ',
        CASE WHEN change.versions_before ->> '$.python' <> change.versions ->> '$.python'
            THEN 'python ' || (change.versions_before ->> '$.python') || ' -> ' || (change.versions ->> '$.python') END,
        CASE WHEN change.versions_before ->> '$.ray' <> change.versions ->> '$.ray'
            THEN 'ray ' || (change.versions_before ->> '$.ray') || ' -> ' || (change.versions ->> '$.ray') END,
        CASE WHEN change.versions_before ->> '$.wfstore' <> change.versions ->> '$.wfstore'
            THEN 'wfstore ' || (change.versions_before ->> '$.wfstore') || ' -> ' || (change.versions ->> '$.wfstore') END
    ) END AS versions_changed,
    worded.keys_compared,
    worded.keys_left_out
FROM worded
JOIN task_key ON task_key.key = worded.key
LEFT JOIN change ON change.key = worded.key AND change.measure = worded.measure
LEFT JOIN chosen ON chosen.submitted_seq = change.submitted_seq
WHERE ($verdict = 'any' OR worded.verdict = $verdict)
ORDER BY
    worded.verdict <> 'worse',
    worded.verdict = 'too few',
    -- worst first: what it adds in seconds is told apart from bytes and retries by the ratio alone
    worded.ratio DESC NULLS LAST,
    task_key.workflow_name,
    task_key.task_key,
    worded.measure
