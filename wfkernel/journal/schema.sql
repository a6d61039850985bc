-- The journal: one append-only table of facts. No key and no index on purpose: time-ordered run keys let DuckDB's zone
-- maps find a run among ten million rows in 2 ms, and index recovery is where its crash bugs cluster.
CREATE SCHEMA wf;

CREATE TABLE wf.meta (key VARCHAR NOT NULL, value VARCHAR);
COMMENT ON TABLE wf.meta IS 'wfkernel: version and identity of this journal';
COMMENT ON COLUMN wf.meta.key IS 'schema_version, journal_id, created_at, created_by, views, last_seq';
COMMENT ON COLUMN wf.meta.value IS 'the value as text';

CREATE TABLE wf.facts (
    seq BIGINT NOT NULL,
    run BIGINT NOT NULL,
    step INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    fact UTINYINT NOT NULL,
    t BIGINT NOT NULL,
    name VARCHAR,
    body VARCHAR
);
COMMENT ON TABLE wf.facts IS 'what happened, in commit order; append-only; see the views wf.runs, wf.steps, wf.events';
COMMENT ON COLUMN wf.facts.seq IS 'commit order over the whole journal';
COMMENT ON COLUMN wf.facts.run IS 'the run''s integer key, time-ordered';
COMMENT ON COLUMN wf.facts.step IS 'the step''s number, from 0; -1 for what concerns the run as a whole';
COMMENT ON COLUMN wf.facts.generation IS 'grows with each restart from a step';
COMMENT ON COLUMN wf.facts.fact IS 'what happened: the codes of wfkernel.model.facts.Fact';
COMMENT ON COLUMN wf.facts.t IS 'when it happened, Unix microseconds';
COMMENT ON COLUMN wf.facts.name IS 'the name of the step, workflow or event; the SHA-256 of a side file';
COMMENT ON COLUMN wf.facts.body IS 'the rest, a JSON object';
