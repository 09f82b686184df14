"""What several migrations do to a table: keep its rows, queue them for the ledger, give it to who has the others.

Versions load this file by its path, as Alembic loads them: what is beside them has no name that could be imported.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

SQL = Path(__file__).parent / "sql"

_OWNER = """
DO $$
DECLARE owner name; role name; verb text;
BEGIN
    SELECT pg_get_userbyid(relowner) INTO owner FROM pg_class WHERE oid = 'sources'::regclass;
    IF owner <> current_user THEN EXECUTE format('ALTER {what} OWNER TO %I', owner); END IF;
    {more}
END
$$
"""
_GRANTS = """
    FOR role, verb IN
        SELECT DISTINCT grantee, privilege_type FROM information_schema.role_table_grants
        WHERE table_schema = current_schema() AND table_name = '{like}' AND grantee NOT IN (owner, 'PUBLIC') AND {those}
    LOOP
        EXECUTE format('GRANT %s ON {name} TO %I', verb, role);
        IF {numbered} AND verb = 'INSERT' THEN
            EXECUTE format('GRANT USAGE ON SEQUENCE {name}_id_seq TO %I', role);
        END IF;
    END LOOP;
"""
_KEPT = {
    "sqlite": """\
CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table}
BEGIN
    SELECT RAISE(ABORT, '{table} is append-only');
END

CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table}
BEGIN
    SELECT RAISE(ABORT, '{table} is append-only');
END""",
    "postgresql": """\
CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION archive_append_only()""",
}
_QUEUED = {
    "sqlite": """\
CREATE TRIGGER {table}_to_ledger AFTER INSERT ON {table} WHEN EXISTS (SELECT 1 FROM ledger_head)
BEGIN
    INSERT INTO ledger_queue (table_name, key) VALUES ('{table}', {key});
END""",
    "postgresql": """\
CREATE TRIGGER {table}_to_ledger AFTER INSERT ON {table}
FOR EACH ROW EXECUTE FUNCTION {key}""",
}
_ID = {"sqlite": "'[' || NEW.id || ']'", "postgresql": "archive_to_ledger()"}
_FILLED = "CREATE TRIGGER {table}_{name} BEFORE INSERT ON {table}\nFOR EACH ROW EXECUTE FUNCTION {function}()"


def dialect() -> str:
    """`sqlite` or `postgresql`."""
    return str(op.get_bind().dialect.name)


def run(statements: str, **words: str) -> None:
    """Execute statements, which an empty line separates, with what stands in braces replaced by `words`."""
    for statement in statements.split("\n\n"):
        for word, meaning in words.items():
            statement = statement.replace("{" + word + "}", meaning)  # noqa: PLW2901 - one word after the other
        op.get_bind().exec_driver_sql(statement.replace("%", "%%") if dialect() == "postgresql" else statement)


def run_file(name: str, **words: str) -> None:
    """The same for a file of `migrations/sql`."""
    run((SQL / f"{name}.sql").read_text(encoding="utf-8"), **words)


def keep(*tables: str, key: tuple[str, ...] = ("id",)) -> None:
    """Let rows of these tables be added alone, and queue every row by its key for the ledger where there is one."""
    for table in tables:
        run(_KEPT[dialect()], table=table)
        run(_QUEUED[dialect()], table=table, key=_ID[dialect()] if key == ("id",) else _key(key))


def _key(columns: tuple[str, ...]) -> str:
    if dialect() == "sqlite":
        return f"json_array({', '.join(f'NEW.{column}' for column in columns)})"
    quoted = ", ".join(f"'{column}'" for column in columns)
    return f"archive_key_to_ledger({quoted})"


def fill(name: str, function: str, *tables: str) -> None:
    """Have a function of PostgreSQL's fill in who adds a row; triggers fire in the order of their names."""
    if dialect() == "postgresql":
        for table in tables:
            run(_FILLED, table=table, name=name, function=function)


def grant(name: str, like: str, *, numbered: bool = True, those: str = "true") -> None:
    """Give a table or view the owner of the others, and the rights that an older table has, where `those` holds.

    An archive may have its roles already: they are made once. `numbered`: rows get their ids from a sequence.
    """
    if dialect() == "postgresql":
        more = _GRANTS.replace("{name}", name).replace("{like}", like).replace("{those}", those)
        run(_OWNER, what=f"TABLE {name}", more=more.replace("{numbered}", str(numbered).lower()))


def give(*functions: str, types: str = "") -> None:
    """Give functions with arguments of these types the owner of the tables."""
    if dialect() == "postgresql":
        for function in functions:
            run(_OWNER, what=f"FUNCTION {function}({types})", more="")
