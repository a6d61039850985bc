-- What users query. The columns are stable. Bodies are JSON objects; one that is not (a damaged or foreign row) gives NULLs,
-- never an error. Nothing here names the catalog, so the closed file can be opened with plain DuckDB.
CREATE OR REPLACE MACRO wf.instant(us) AS
    CASE WHEN us BETWEEN -62135596800000000 AND 253402300799999999 THEN make_timestamptz(us) END;

CREATE OR REPLACE VIEW wf.runs AS
WITH created AS (
    SELECT run, name, t, TRY_CAST(body AS JSON) AS body FROM wf.facts WHERE fact = 1
), ended AS (
    SELECT run, arg_max(fact, seq) AS fact, arg_max(t, seq) AS t, TRY_CAST(arg_max(body, seq) AS JSON) AS body,
           max(generation) FILTER (fact = 6) AS generation
    FROM wf.facts WHERE fact IN (2, 3, 4, 6) GROUP BY run
)
SELECT coalesce(c.body ->> '$.id', CAST(c.run AS VARCHAR)) AS run_id,
       c.name AS name,
       CASE e.fact WHEN 2 THEN 'completed' WHEN 3 THEN 'failed' WHEN 4 THEN 'canceled' ELSE 'in_progress' END AS status,
       c.body -> '$.args' AS args,
       c.body -> '$.context' AS context,
       CASE e.fact WHEN 2 THEN e.body -> '$.result' END AS result,
       CASE e.fact WHEN 3 THEN e.body -> '$.error' END AS error,
       wf.instant(c.t) AS created_at,
       CASE WHEN e.fact IN (2, 3, 4) THEN wf.instant(e.t) END AS completed_at,
       coalesce(e.generation, 0) AS generation,
       c.body ->> '$.parent[3]' AS parent_run_id
FROM created c LEFT JOIN ended e ON e.run = c.run;

CREATE OR REPLACE VIEW wf.steps AS
WITH last AS (
    SELECT run, step, generation, arg_max(fact, seq) AS fact, arg_max(name, seq) AS name,
           TRY_CAST(arg_max(body, seq) AS JSON) AS body
    FROM wf.facts WHERE step >= 0 AND fact BETWEEN 20 AND 24 GROUP BY run, step, generation
), ids AS (
    SELECT run, any_value(coalesce(TRY_CAST(body AS JSON) ->> '$.id', CAST(run AS VARCHAR))) AS id
    FROM wf.facts WHERE fact = 1 GROUP BY run
)
SELECT coalesce(i.id, CAST(s.run AS VARCHAR)) AS run_id,
       s.step AS step_number,
       s.name AS name,
       s.body ->> '$.kind' AS kind,
       CASE s.fact WHEN 20 THEN 'scheduled' WHEN 21 THEN 'running' WHEN 22 THEN 'success' WHEN 23 THEN 'failed'
                   ELSE 'canceled' END AS status,
       s.body -> '$.args' AS args,
       s.body -> '$.result' AS result,
       s.body -> '$.error' AS error,
       coalesce(TRY_CAST(s.body ->> '$.attempts' AS INTEGER), 0) AS attempts,
       wf.instant(TRY_CAST(s.body ->> '$.scheduled_at' AS BIGINT)) AS scheduled_at,
       wf.instant(TRY_CAST(s.body ->> '$.started_at' AS BIGINT)) AS started_at,
       wf.instant(TRY_CAST(s.body ->> '$.completed_at' AS BIGINT)) AS completed_at,
       s.body ->> '$.child' AS child_run_id,
       s.body ->> '$.event_id' AS event_id,
       s.generation AS generation
FROM last s LEFT JOIN ids i ON i.run = s.run;

CREATE OR REPLACE VIEW wf.events AS
WITH told AS (
    SELECT run, seq, fact, t, name, TRY_CAST(body AS JSON) AS body FROM wf.facts WHERE fact IN (7, 8)
), awaited AS (
    SELECT run, step, generation, arg_max(fact, seq) AS fact, arg_max(name, seq) AS name, max(seq) AS seq,
           TRY_CAST(arg_max(body, seq) AS JSON) AS body
    FROM wf.facts WHERE step >= 0 AND fact BETWEEN 20 AND 24 GROUP BY run, step, generation
), ids AS (
    SELECT run, any_value(coalesce(TRY_CAST(body AS JSON) ->> '$.id', CAST(run AS VARCHAR))) AS id
    FROM wf.facts WHERE fact = 1 GROUP BY run
), dropped AS (
    SELECT run, seq AS at, unnest(TRY_CAST(TRY_CAST(body AS JSON) -> '$.drop' AS INTEGER[])) AS step FROM wf.facts WHERE fact = 6
), gone AS (  -- an event that a dropped step used is gone with it
    SELECT used.body ->> '$.event_id' AS event_id, max(d.at) AS at
    FROM (SELECT run, step, seq, TRY_CAST(body AS JSON) AS body FROM wf.facts WHERE step >= 0 AND fact IN (22, 23)) used
    JOIN dropped d ON d.run = used.run AND d.step = used.step AND d.at > used.seq
    WHERE used.body ->> '$.kind' = 'event' GROUP BY ALL
), moments AS (
    SELECT body ->> '$.event_id' AS event_id, run, seq, fact, name,
           CASE fact WHEN 7 THEN t END AS created_us, CASE fact WHEN 8 THEN t END AS sent_us, NULL AS consumed_us,
           t AS seen_us, body -> '$.value' AS value, body ->> '$.error' AS error
    FROM told
    UNION ALL
    SELECT body ->> '$.event_id', run, seq, fact, name, NULL, NULL,
           CASE WHEN fact IN (22, 23) THEN TRY_CAST(body ->> '$.completed_at' AS BIGINT) END,
           TRY_CAST(body ->> '$.scheduled_at' AS BIGINT), body -> '$.result', NULL
    FROM awaited
    WHERE body ->> '$.kind' = 'event' AND fact <> 24  -- an await that ended without its event used none
      AND NOT (fact = 23 AND coalesce(body ->> '$.error.type', '') IN ('TimeoutError', 'EventNotFound', 'EventAlreadyConsumed', 'RunNotActive'))
), known AS (
    SELECT event_id, arg_max(run, seq) AS run, arg_max(name, seq) FILTER (name IS NOT NULL) AS name,
           bool_or(fact IN (22, 23)) AS is_consumed, bool_or(fact = 8) AS is_sent, bool_or(fact IN (20, 21)) AS is_awaited,
           coalesce(any_value(value) FILTER (fact = 8), any_value(value) FILTER (fact = 22)) AS value,
           any_value(error) FILTER (fact = 8) AS error,
           coalesce(min(created_us), min(seen_us)) AS created_us, min(sent_us) AS sent_us, max(consumed_us) AS consumed_us
    FROM moments LEFT JOIN gone USING (event_id)
    WHERE event_id IS NOT NULL AND (gone.at IS NULL OR seq > gone.at) GROUP BY event_id
)
SELECT k.event_id AS event_id,
       coalesce(i.id, CAST(k.run AS VARCHAR)) AS run_id,
       k.name AS name,
       CASE WHEN is_consumed THEN 'consumed' WHEN is_sent THEN 'sent' WHEN is_awaited THEN 'waiting' ELSE 'created' END AS status,
       k.value AS value,
       k.error AS error,
       wf.instant(created_us) AS created_at,
       wf.instant(sent_us) AS sent_at,
       wf.instant(consumed_us) AS consumed_at
FROM known k LEFT JOIN ids i ON i.run = k.run;

COMMENT ON VIEW wf.runs IS 'one row per run';
COMMENT ON COLUMN wf.runs.run_id IS 'the run''s public id';
COMMENT ON COLUMN wf.runs.name IS 'the workflow''s name';
COMMENT ON COLUMN wf.runs.status IS 'in_progress, completed, failed or canceled';
COMMENT ON COLUMN wf.runs.args IS 'arguments by parameter name, JSON';
COMMENT ON COLUMN wf.runs.context IS 'the context given to options(context=), JSON';
COMMENT ON COLUMN wf.runs.result IS 'what the workflow returned, JSON; NULL unless completed';
COMMENT ON COLUMN wf.runs.error IS 'JSON object of type, message, traceback; NULL unless failed';
COMMENT ON COLUMN wf.runs.created_at IS 'when the run was started';
COMMENT ON COLUMN wf.runs.completed_at IS 'when it completed, failed or was canceled; NULL while in progress';
COMMENT ON COLUMN wf.runs.generation IS 'how often it was restarted from a step';
COMMENT ON COLUMN wf.runs.parent_run_id IS 'the run of which this one is a step, if any';

COMMENT ON VIEW wf.steps IS 'one row per step and generation, the steps set aside by a restart included';
COMMENT ON COLUMN wf.steps.run_id IS 'the run''s public id';
COMMENT ON COLUMN wf.steps.step_number IS 'position in the run, from 0';
COMMENT ON COLUMN wf.steps.name IS 'the step''s name';
COMMENT ON COLUMN wf.steps.kind IS 'query, mutation, action, workflow, event or sleep';
COMMENT ON COLUMN wf.steps.status IS 'scheduled, running, success, failed or canceled';
COMMENT ON COLUMN wf.steps.args IS 'arguments, JSON';
COMMENT ON COLUMN wf.steps.result IS 'result, JSON';
COMMENT ON COLUMN wf.steps.error IS 'JSON object of type, message, traceback';
COMMENT ON COLUMN wf.steps.attempts IS 'how often the function was tried';
COMMENT ON COLUMN wf.steps.scheduled_at IS 'when the body asked for it';
COMMENT ON COLUMN wf.steps.started_at IS 'when its last attempt began';
COMMENT ON COLUMN wf.steps.completed_at IS 'when it succeeded, failed or was canceled';
COMMENT ON COLUMN wf.steps.child_run_id IS 'the child run of a workflow step';
COMMENT ON COLUMN wf.steps.event_id IS 'the event that an event step awaits';
COMMENT ON COLUMN wf.steps.generation IS 'the generation in which the step ran';

COMMENT ON VIEW wf.events IS 'one row per event';
COMMENT ON COLUMN wf.events.event_id IS 'the event''s id';
COMMENT ON COLUMN wf.events.run_id IS 'the public id of the run that it belongs to';
COMMENT ON COLUMN wf.events.name IS 'the event''s name';
COMMENT ON COLUMN wf.events.status IS 'created, waiting (a body awaits it), sent (nobody used it yet) or consumed';
COMMENT ON COLUMN wf.events.value IS 'the value sent, JSON';
COMMENT ON COLUMN wf.events.error IS 'the text sent as error=';
COMMENT ON COLUMN wf.events.created_at IS 'when it was created, or first sent or awaited';
COMMENT ON COLUMN wf.events.sent_at IS 'when it was sent';
COMMENT ON COLUMN wf.events.consumed_at IS 'when a body used it';
