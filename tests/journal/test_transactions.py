"""User SQL and the journal row in one transaction; queries that cannot write; cursors that refuse."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pytest
from journal_kit import Told, commit, eventually, row

from wfkernel.errors import EngineStopped, JournalError
from wfkernel.journal import Journal, Write, cursors, instance, transactions
from wfkernel.journal.cursors import Cursor
from wfkernel.journal.statements import CHANGING_FUNCTIONS


@pytest.fixture
def counter(journal: Journal) -> Journal:
    journal.user_cursor().execute("CREATE TABLE counter (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO counter VALUES (1, 0)")
    return journal


def n(journal: Journal) -> int:
    return journal.read("SELECT n FROM counter WHERE id = 1")[0][0]


def test_the_users_writes_and_the_rows_commit_together(counter: Journal, open_journal) -> None:
    counter.on_batch = told = Told()

    def work(db):
        db.execute("UPDATE counter SET n = n + ? WHERE id = 1", [5])
        return Write([row(7), row(7, 1)], tag="mine", blobs={"b" * 64: b"large"})

    write = counter.transact(work)
    assert (write.seq, write.tag, told.writes) == (1, "mine", [write])
    counter.abandon()
    again = open_journal()
    assert n(again) == 5
    assert again.last_seq == 3
    assert again.files.get("b" * 64) == b"large"


def test_an_exception_of_the_work_undoes_everything(counter: Journal) -> None:
    counter.on_batch = told = Told()

    def work(db):
        db.execute("UPDATE counter SET n = 99")
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        counter.transact(work)
    assert n(counter) == 0
    assert counter.last_seq == 0
    assert told.batches == []


def test_a_write_that_is_no_longer_wanted_undoes_everything(counter: Journal) -> None:
    counter.on_batch = told = Told()
    write = counter.transact(lambda db: (db.execute("UPDATE counter SET n = 99"), Write([row()], keep=lambda: False))[1])
    assert write.dropped
    assert n(counter) == 0
    assert counter.last_seq == 0
    assert told.writes == [write]


def test_work_that_returns_nothing_is_rolled_back(counter: Journal) -> None:
    assert counter.transact(lambda db: db.execute("UPDATE counter SET n = 99") and None) is None
    assert n(counter) == 0


def test_conflicting_transactions_run_again_and_each_counts_once(counter: Journal) -> None:
    calls = []

    def work(db):
        calls.append(1)
        db.execute("UPDATE counter SET n = n + 1 WHERE id = 1")
        return Write([row()])

    def many() -> None:
        for _ in range(25):
            counter.transact(work)

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert n(counter) == 100 == counter.last_seq
    assert len(calls) >= 100


def conflicting(counter: Journal, handle) -> int:
    """A transaction whose first attempt meets another's write; returns how often its work ran."""
    calls = []

    def work(db):
        calls.append(1)
        db.execute("SELECT n FROM counter").fetchall()
        if len(calls) == 1:
            counter.user_cursor().execute("UPDATE counter SET n = 10")
        handle(lambda: db.execute("UPDATE counter SET n = n + 1"))
        return Write([row()])

    counter.transact(work)
    return len(calls)


def test_a_conflict_that_user_code_swallows_or_wraps_runs_again_all_the_same(counter: Journal) -> None:
    def swallow(update) -> None:
        try:
            update()
        except duckdb.Error:
            pass

    def wrap(update) -> None:
        try:
            update()
        except duckdb.Error as error:
            raise ValueError("mine") from error

    assert conflicting(counter, swallow) == 2
    assert n(counter) == 11
    assert conflicting(counter, wrap) == 2
    assert n(counter) == 11


def test_a_key_that_another_transaction_took_first_becomes_the_works_own_error(counter: Journal) -> None:
    calls = []

    def work(db):
        calls.append(1)
        db.execute("SELECT * FROM counter").fetchall()
        if len(calls) == 1:
            counter.user_cursor().execute("INSERT INTO counter VALUES (2, 0)")
        db.execute("INSERT INTO counter VALUES (2, 1)")
        return Write([row()])

    with pytest.raises(duckdb.ConstraintException):
        counter.transact(work)
    assert counter.last_seq == 0


def test_a_transaction_that_always_loses_is_given_up(counter: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "_GIVEN_UP_S", 0.05)

    def work(db):
        raise duckdb.TransactionException("TransactionContext Error: Conflict on update!")

    with pytest.raises(JournalError, match=r"lost against others \d+ times in 0.05 s"):
        counter.transact(work)


def test_a_transaction_outlasts_another_that_takes_its_time(counter: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "_LONGEST_TURN_S", 0.001)
    calls: list[int] = []
    holder = counter.user_cursor()
    holder.execute("BEGIN; UPDATE counter SET n = 100")

    def work(db):
        calls.append(1)
        if len(calls) == 150:
            holder.execute("COMMIT")
        db.execute("UPDATE counter SET n = n + 1")
        return Write([row()])

    assert counter.transact(work)
    assert n(counter) == 101


def test_an_aborted_transaction_whose_error_was_swallowed_is_named(counter: Journal) -> None:
    def work(db):
        db.execute("UPDATE counter SET n = 99")
        with pytest.raises(duckdb.ConversionException):
            db.execute("SELECT 'x'::INTEGER").fetchall()
        return Write([row()])

    with pytest.raises(JournalError, match="aborted by an earlier SQL error"):
        counter.transact(work)
    assert n(counter) == 0
    assert counter.last_seq == 0


def test_the_work_cannot_end_its_transaction(counter: Journal) -> None:
    for attempt in (
        lambda db: db.execute("COMMIT"),
        lambda db: db.execute("SELECT 1; ROLLBACK; SELECT 2"),
        lambda db: db.sql("BEGIN"),
        lambda db: db.execute("EXPLAIN ANALYZE COMMIT"),
        lambda db: db.execute(db.extract_statements("ROLLBACK")[0]),
        lambda db: db.commit(),
        lambda db: db.rollback(),
        lambda db: db.begin(),
        lambda db: db.cursor(),
        lambda db: db.duplicate(),
        lambda db: db.close(),
    ):
        with pytest.raises(duckdb.PermissionException, match="inside a mutation"):
            counter.transact(attempt)
        with pytest.raises(duckdb.PermissionException, match="inside a query"):
            counter.query(attempt)


def test_a_query_reads_and_cannot_write(counter: Journal) -> None:
    assert counter.query(lambda db: db.execute("SELECT n FROM counter").fetchall()) == [(0,)]
    writes = (
        "UPDATE counter SET n = 9",
        "CREATE TABLE x (i INTEGER)",
        "ROLLBACK; UPDATE counter SET n = 9",
        "DROP TABLE counter",
    )
    for sql in writes:
        with pytest.raises(duckdb.Error):
            counter.query(lambda db, sql=sql: db.execute(sql))
    with pytest.raises(duckdb.Error):
        counter.query(lambda db: db.table("counter").insert([5, 5]))
    assert n(counter) == 0


READING = [
    "SELECT 1; FROM range(2)",
    "WITH a AS MATERIALIZED (SELECT 1 AS n) FROM a",
    "VALUES (1)",
    "TABLE counter",
    "(SELECT 1)",
    "PIVOT counter ON id USING sum(n)",
    "UNPIVOT counter ON id",
    "DESCRIBE counter",
    "SHOW ALL TABLES",
    "SUMMARIZE counter",
    "PRAGMA table_info('counter')",
    "PRAGMA database_size",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE (FROM counter)",
    "EXPLAIN (FORMAT json, ANALYZE) SELECT 1",
    "SET VARIABLE x = 1; SELECT getvariable('x')",
    "CREATE OR REPLACE TEMP TABLE mine AS SELECT 1 AS n; FROM mine",
    "SELECT max(copy) FROM (SELECT n AS copy FROM counter)",
    "SELECT 'from enable_logging()', \"query\" FROM (SELECT 1 AS query)",
]
CHANGING = [
    "SET GLOBAL lock_configuration = true",
    "SET threads = 1",
    "SELECT 1; SET GLOBAL memory_limit = '30MB'",
    "RESET threads",
    "PRAGMA threads = 1",
    "PRAGMA enable_profiling",
    "PRAGMA import_database('here')",
    "EXPLAIN ANALYZE SET threads = 1",
    "EXPLAIN (ANALYZE) SET threads = 1",
    "COPY (SELECT 1) TO 'out.csv'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO 'out.csv'",
    "WITH a AS (COPY (SELECT 1) TO 'out.csv') SELECT 1",
    "WITH a AS NOT MATERIALIZED (/**/ copy (SELECT 1) TO 'out.csv') SELECT 1",
    "SET VARIABLE x = (SELECT 1); COPY (SELECT 1) TO 'out.csv'",
    "ATTACH 'other.db'",
    "DETACH memory",
    "LOAD json",
    "INSTALL json",
    "UPDATE EXTENSIONS",
    "EXPORT DATABASE 'there'",
    "VACUUM",
    "USE memory",
    "CREATE SECRET (TYPE http)",
    "CALL enable_logging()",
    "FROM enable_logging()",
    "SELECT e'\\'' FROM \"Disable_Logging\" () --'",
    "FROM truncate_duckdb_logs()",
    "SELECT write_log('x')",
    "FROM query('FROM enable_' || 'logging()')",
    "FROM json_execute_serialized_sql(json_serialize_sql('WITH a AS (COPY (SELECT 1) TO ''out.csv'') SELECT 1'))",
    "PREPARE p AS COPY (SELECT 1) TO 'out.csv'",
    "EXECUTE p",
]


@pytest.mark.parametrize("sql", READING)
def test_a_query_may_read_in_every_way(counter: Journal, sql: str) -> None:
    assert counter.query(lambda db: db.execute(sql).fetchall())


@pytest.mark.parametrize("sql", CHANGING)
def test_a_query_changes_no_setting_and_no_file(counter: Journal, tmp_path, monkeypatch, sql: str) -> None:
    monkeypatch.chdir(tmp_path)
    files, settings = set(tmp_path.iterdir()), _settings(counter)
    for method in ("execute", "sql"):
        with pytest.raises(duckdb.PermissionException, match="wfkernel: "):
            counter.query(lambda db, method=method: getattr(db, method)(sql))
    assert (set(tmp_path.iterdir()), _settings(counter)) == (files, settings)


def test_a_query_calls_no_function_that_changes_something(counter: Journal) -> None:
    with pytest.raises(duckdb.PermissionException, match=r"enable_logging\(\) is refused inside a query"):
        counter.query(lambda db: db.table_function("enable_logging"))


def test_the_users_own_cursor_may_change_settings_and_files(journal: Journal, tmp_path) -> None:
    journal.user_cursor().execute(f"SET GLOBAL max_expression_depth = 900; COPY (SELECT 1) TO '{tmp_path / 'out.csv'}'")
    assert (tmp_path / "out.csv").exists()


def test_each_function_that_sounds_as_if_it_changed_something_is_known_to_do_so_or_not(journal: Journal) -> None:
    """One that a new DuckDB brings fails this: say then in statements.py whether it changes something."""
    sql = """SELECT DISTINCT function_name FROM duckdb_functions() WHERE database_name = 'system'
        AND regexp_matches(function_name, 'log|profil|checkpoint|attach|write|resource|secret|enable|disable|execute|import|export|^query')
        AND function_type IN ('table', 'scalar') ORDER BY 1"""
    reading = {"duckdb_log_contexts", "duckdb_logs", "log", "log10", "log2", "parse_duckdb_log_message", "query_table"}
    reading |= {"duckdb_external_resource_types", "duckdb_external_resources", "duckdb_secret_type_parameters"}
    reading |= {"duckdb_secret_types", "duckdb_secrets", "which_secret"}
    assert {name for (name,) in journal.read(sql)} - reading == CHANGING_FUNCTIONS


def _settings(journal: Journal) -> list[tuple]:
    return journal.read("SELECT name, value FROM duckdb_settings() ORDER BY name")


def test_a_cursor_outlives_its_transaction_only_to_say_so(counter: Journal) -> None:
    kept = counter.query(lambda db: db)
    with pytest.raises(EngineStopped, match="has ended"):
        kept.execute("SELECT 1")


def test_nothing_slips_in_by_a_kept_cursor_between_the_work_and_its_commit(counter: Journal) -> None:
    kept, refused = [], []

    def late() -> bool:  # asked right before the commit
        with pytest.raises(EngineStopped, match="belonged to a mutation that has ended") as error:
            kept[0].execute("UPDATE counter SET n = 99")
        refused.append(error)
        return True

    counter.transact(lambda db: (kept.append(db), Write([row()], keep=late))[1])
    assert (len(refused), n(counter)) == (1, 0)


ENDLESS = "SELECT count(*) FROM range(100000000000) a, range(1000) b WHERE hash(a.range + b.range) = 7"


class Late:
    """A connection whose endless statement begins only after it was interrupted: DuckDB has forgotten that interrupt by then."""

    def __init__(self, raw: duckdb.DuckDBPyConnection):
        self._raw = raw
        self.is_asked = threading.Event()
        self._is_interrupted = threading.Event()

    def __getattr__(self, name: str):
        return getattr(self._raw, name)

    def interrupt(self) -> None:
        self._raw.interrupt()
        self._is_interrupted.set()

    def execute(self, sql: str, *params):
        if sql == ENDLESS:
            self.is_asked.set()
            assert self._is_interrupted.wait(10)
        return self._raw.execute(sql, *params)


def late(journal: Journal) -> Late:
    """The connection of the next query or mutation."""
    raw = Late(journal._instance.cursor())
    journal._transactions._idle.append(raw)
    return raw


@pytest.mark.parametrize("kind", ["query", "transact"])
def test_the_end_of_the_journal_stops_a_statement_that_was_about_to_begin(journal: Journal, kind: str) -> None:
    raw = late(journal)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(getattr(journal, kind), lambda db: db.execute(ENDLESS))
        assert raw.is_asked.wait(10)
        journal.close()
        assert isinstance(asked.exception(10), duckdb.Error)


def test_a_query_that_was_about_to_begin_is_stopped(journal: Journal) -> None:
    raw = late(journal)
    found: list[Cursor] = []
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(journal.query, lambda db: found.append(db) or db.execute(ENDLESS))
        assert raw.is_asked.wait(10)
        found[0].stop()
        assert isinstance(asked.exception(10), duckdb.InterruptException)
    assert journal.query(lambda db: db.execute("SELECT 42").fetchall()) == [(42,)]
    found[0].stop()  # its connection is another's by now


def test_a_users_statement_ends_with_the_journal(journal: Journal) -> None:
    raw = Late(journal._instance.cursor())
    mine = journal.user_cursor()
    mine._raw = raw
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(mine.execute, ENDLESS)
        assert raw.is_asked.wait(10)
        journal.close()
        assert isinstance(asked.exception(10), duckdb.InterruptException)


def test_a_relation_that_outlives_its_cursor_ends_with_the_journal(open_journal) -> None:
    for _ in range(5):
        journal = open_journal()
        relation = journal.user_cursor().sql(ENDLESS)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(relation.fetchall)
            eventually(asked.running)
            journal.close()
            assert isinstance(asked.exception(10), duckdb.Error)
    open_journal()  # the file is free


@pytest.mark.parametrize("kind", ["query", "transact"])
def test_a_result_that_is_read_by_half_does_not_spoil_its_connection_for_the_next_one(journal: Journal, kind: str) -> None:
    kept = []

    def work(db: Cursor) -> None:
        kept.append(db.sql("SELECT range FROM range(1_000_000)").to_arrow_reader(1000))
        kept[0].read_next_batch()
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        getattr(journal, kind)(work)
    for _ in range(3):
        assert journal.query(lambda db: db.execute("SELECT 42").fetchall()) == [(42,)]
    kept.clear()
    assert journal.query(lambda db: db.execute("SELECT 42").fetchall()) == [(42,)]


def test_the_end_of_the_journal_waits_a_moment_only_for_a_statement_that_cannot_be_interrupted(
    open_journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cursors, "_PATIENCE_S", 0.05)
    monkeypatch.setattr(instance, "_BUSY_S", 0.05)
    journal = open_journal()
    begun, gate = threading.Event(), threading.Event()

    def slow(n: int) -> int:
        begun.set()
        assert gate.wait(20)
        return n

    mine = journal.user_cursor()
    mine.create_function("slow", slow, [int], int)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lambda: mine.execute("SELECT slow(1)").fetchall())
        assert begun.wait(10)
        try:
            with pytest.raises(duckdb.ResourceInUseException):
                journal.close()
        finally:
            gate.set()
        asked.exception(10)
    assert "cannot be stopped" in caplog.text


def test_a_relation_is_stopped_like_a_statement(journal: Journal) -> None:
    is_asked = threading.Event()

    def work(db: Cursor):
        relation = db.sql(ENDLESS)
        is_asked.set()
        return db.run(relation.fetchall)

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(journal.query, work)
        assert is_asked.wait(10)
        journal.close()
        assert isinstance(asked.exception(10), (duckdb.Error, EngineStopped))


def test_a_connection_that_is_taken_while_the_journal_is_attached_anew_is_of_the_new_one(
    counter: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected = counter._instance.cursor

    def slow():
        monkeypatch.undo()
        with counter._ledger.lock:
            counter._reattach()
        return connected()

    monkeypatch.setattr(counter._instance, "cursor", slow)
    counter._transactions._idle.clear()
    generations = []
    counter.query(lambda db: generations.append(counter._transactions._generation))
    assert generations == [1]
    assert len(counter._transactions._idle) == 1  # it is kept for the next: it is none of before
    assert not counter._transactions._busy


def test_what_one_transaction_leaves_on_its_connection_is_not_seen_by_the_next(counter: Journal) -> None:
    counter.transact(lambda db: (db.execute("CREATE TEMP TABLE mine AS SELECT 1 AS a"), Write([row()]))[1])
    with pytest.raises(duckdb.CatalogException):
        counter.query(lambda db: db.execute("SELECT * FROM mine"))


def test_python_variables_are_found_through_the_cursor(journal: Journal) -> None:
    import pyarrow

    arrow = pyarrow.table({"a": [1, 2, 3]})  # DuckDB finds it by name
    db = journal.user_cursor()
    db.execute("CREATE TABLE t AS SELECT * FROM arrow")
    assert db.sql("SELECT sum(a) FROM t").fetchall() == [(6,)]
    assert db.execute("SELECT a FROM t ORDER BY a").fetchone() == (1,)

    def work(inner):
        local = arrow  # noqa: F841
        inner.execute("INSERT INTO t SELECT * FROM local")
        return Write([row()])

    journal.transact(work)
    assert db.execute("SELECT count(*) FROM t").fetchall() == [(6,)]
    assert len(local_names(db)) == 1


def local_names(db) -> list[str]:
    return [name for (name,) in db.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main'").fetchall()]


ALLOWED = [
    "SELECT * FROM wf.runs",
    "SELECT * FROM wfkernel.wf.steps",
    "CREATE TABLE copy AS SELECT * FROM wf.runs",
    "CREATE OR REPLACE TABLE main.copy AS SELECT * FROM wf.facts",
    "INSERT INTO copy SELECT * FROM wf.facts",
    "UPDATE copy SET name = 'x' WHERE run IN (SELECT run FROM wf.facts)",
    "DELETE FROM copy WHERE run IN (SELECT run FROM wf.facts)",
    "CREATE VIEW v AS SELECT * FROM wf.runs",
    "CREATE TABLE checkpoint (checkpoint INTEGER, wf VARCHAR)",
    "SELECT checkpoint FROM checkpoint -- CHECKPOINT",
    "INSERT INTO checkpoint VALUES (1, 'CHECKPOINT; DELETE FROM wf.facts')",
    "BEGIN; INSERT INTO checkpoint VALUES (2, ''); COMMIT",
    "USE wfkernel",
    "USE wfkernel.main",
    "ATTACH ':memory:' AS other",
    "CREATE TABLE other.t AS SELECT * FROM wf.runs",
    "DETACH other",
    "SET memory_limit = '1GB'",
    "VACUUM",
]

REFUSED = [
    "CHECKPOINT",
    "CHECKPOINT wfkernel",
    "FORCE CHECKPOINT",
    "CALL force_checkpoint()",
    "PRAGMA checkpoint",
    "SELECT * FROM force_checkpoint()",
    "FROM checkpoint('wfkernel')",
    "EXPLAIN ANALYZE CHECKPOINT",
    "SELECT 1; CHECKPOINT",
    "/* x */ checkpoint",
    "DETACH wfkernel",
    "ATTACH 'elsewhere.duckdb' AS wfkernel",
    "ATTACH 'elsewhere/wf.duckdb'",
    "ATTACH IF NOT EXISTS 'WF.2024.db' (READ_ONLY)",
    "ATTACH ':memory:' AS Wf",
    "USE memory",
    "USE wf",
    "USE wfkernel.wf",
    "SET schema = 'wf'",
    "SET search_path = 'wf'",
    "SET wal_autocheckpoint = '1MB'",
    "RESET wal_autocheckpoint",
    "SET GLOBAL checkpoint_threshold = '1MB'",
    "PRAGMA enable_checkpoint_on_shutdown",
    "INSERT INTO wf.facts SELECT * FROM wf.facts",
    'WITH a AS (SELECT 1) INSERT INTO "WFKERNEL"."Wf"."facts" SELECT * FROM a',
    "UPDATE wf.facts SET run = 1",
    "UPDATE wf . facts SET run = 1",
    "DELETE FROM wf.facts",
    "TRUNCATE wf.facts",
    "TRUNCATE TABLE wf.facts",
    "MERGE INTO wf.facts USING (SELECT 1 AS a) ON true WHEN MATCHED THEN DELETE",
    "COPY wf.facts FROM 'x.csv'",
    "ALTER TABLE wf.facts ADD COLUMN x INTEGER",
    "ALTER TABLE IF EXISTS wf.facts RENAME TO x",
    "COMMENT ON TABLE wf.facts IS 'mine'",
    "DROP TABLE wf.facts",
    "DROP VIEW IF EXISTS wf.runs",
    "DROP SCHEMA wf CASCADE",
    "DROP SCHEMA wfkernel.wf CASCADE",
    "CREATE TABLE wf.mine (i INTEGER)",
    "CREATE OR REPLACE VIEW wf.runs AS SELECT 1",
    "CREATE INDEX i ON wf.facts (run)",
    "EXPLAIN ANALYZE DELETE FROM wf.facts",
    "PREPARE p AS DELETE FROM wf.facts",
    "SELECT 1; DELETE FROM main.t; DELETE FROM wf.facts",
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with Journal.open(tmp_path_factory.mktemp("shared") / "j.duckdb") as journal:
        yield journal


def test_ordinary_sql_is_let_through(journal: Journal) -> None:
    db = journal.user_cursor()
    for sql in ALLOWED:
        db.execute(sql)


@pytest.mark.parametrize("sql", REFUSED)
def test_what_would_harm_the_journal_is_refused(shared: Journal, sql: str) -> None:
    db = shared.user_cursor()
    for method in (db.execute, db.sql, db.query):
        with pytest.raises(duckdb.PermissionException, match="wfkernel"):
            method(sql)
    with pytest.raises(duckdb.PermissionException, match="wfkernel"):
        db.execute(db.extract_statements(sql)[-1])


def test_methods_that_would_harm_the_journal_are_refused(shared: Journal) -> None:
    db = shared.user_cursor()
    for attempt in (
        lambda: db.checkpoint(),
        lambda: db.appender("wf.facts"),
        lambda: db.append("wf.facts", None),
        lambda: db.tf("force_checkpoint"),
        lambda: db.table_function("checkpoint"),
        lambda: db.from_query("FROM checkpoint()"),
        lambda: db.executemany("DELETE FROM wf.facts WHERE run = ?", [[1]]),
        lambda: db.cursor().execute("CHECKPOINT"),
    ):
        with pytest.raises(duckdb.PermissionException, match="wfkernel"):
            attempt()


def test_user_cursors_are_new_each_and_work_in_any_thread(journal: Journal) -> None:
    journal.user_cursor().execute("CREATE TABLE t (i INTEGER)")
    cursors = [journal.user_cursor() for _ in range(4)]
    threads = [threading.Thread(target=lambda c=c: [c.execute("INSERT INTO t VALUES (1)") for _ in range(20)]) for c in cursors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with journal.user_cursor() as db:
        assert db.execute("SELECT count(*) FROM main.t").fetchall() == [(80,)]
    with pytest.raises(EngineStopped):
        db.execute("SELECT 1")


def test_a_users_open_transaction_does_not_delay_a_commit(counter: Journal) -> None:
    db = counter.user_cursor()
    db.begin()
    db.execute("UPDATE counter SET n = 5")
    assert commit(counter, row()).seq == 1
    db.rollback()
    assert n(counter) == 0


def test_every_error_of_duckdb_is_translated_or_passed_through_on_purpose(journal: Journal) -> None:
    classes = [c for c in vars(duckdb).values() if isinstance(c, type) and issubclass(c, duckdb.Error)]
    assert len(classes) > 25
    for cls in classes:
        error = cls("made up")

        def fail(db, error=error):
            raise error

        for call in (journal.query, journal.transact):
            with pytest.raises(cls) as passed:  # the user's SQL: DuckDB's own error, untouched
                call(fail)
            assert passed.value is error
        journal._local.epoch, real = journal._epoch, getattr(journal._local, "cursor", None)
        journal._local.cursor = _Failing(error)
        with pytest.raises(JournalError, match="the journal cannot be read: made up") as translated:  # our own SQL
            journal.read("SELECT 1")
        assert translated.value.__cause__ is error
        journal._local.cursor = real or journal._instance.cursor()


class _Failing:
    def __init__(self, error: Exception):
        self.error = error

    def execute(self, *_: object) -> None:
        raise self.error
