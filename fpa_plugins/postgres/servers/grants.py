"""What roles of the server may do in the schema of a store: the statements that settle it, and the proof that they did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from psycopg import sql

from fpa_core.exceptions import DataError
from fpa_plugins.postgres.servers.server import Connection, Server

__all__ = ["grant", "granting"]

LONGEST = 63
"""Bytes of the longest name of a role: the server cuts longer ones, without an error."""

_KNOWN = b"""
SELECT n.nspowner::regrole::text, pg_has_role(n.nspowner, 'USAGE'), r.oid IS NOT NULL, coalesce(pg_has_role(r.oid, n.nspowner, 'MEMBER'), false)
FROM pg_namespace n LEFT JOIN pg_roles r ON r.rolname = $2::text WHERE n.nspname = $1::text
"""

# A role may do what those may that it is a member of, and what all may: privileges count them in.
_RIGHTS = b"""
WITH role AS (SELECT oid, rolname FROM pg_roles WHERE rolname = $2::text),
    parts AS (SELECT oid, relkind FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident($1::text)) AND relkind IN ('r', 'S'))
SELECT (SELECT has_schema_privilege(oid, $1::text, 'USAGE') FROM role)
    AND coalesce((SELECT bool_and(has_table_privilege(role.oid, parts.oid, 'SELECT')) FROM role, parts WHERE relkind = 'r'), true),
    coalesce((SELECT bool_and(CASE relkind WHEN 'S' THEN has_sequence_privilege(role.oid, parts.oid, 'USAGE') ELSE
        has_table_privilege(role.oid, parts.oid, 'INSERT') AND has_table_privilege(role.oid, parts.oid, 'UPDATE')
        AND has_table_privilege(role.oid, parts.oid, 'DELETE') END) FROM role, parts), true),
    ARRAY(SELECT DISTINCT other.rolname::text FROM role JOIN pg_roles other ON pg_has_role(role.oid, other.oid, 'MEMBER') LEFT JOIN parts ON true
        WHERE has_schema_privilege(other.oid, $1::text, 'CREATE')
        OR relkind = 'r' AND has_table_privilege(other.oid, parts.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') ORDER BY 1)
"""


def grant(connection: Connection, server: Server, role: str, *, write: bool) -> list[str]:
    """Run the statements of :func:`granting` in the open transaction, see what the role can do then, and return them.

    :raises DatabaseError: if the role could do more or less.
    """
    statements = granting(connection, server, role, write=write)
    for statement in statements:
        connection.execute(statement.encode(), prepare=False)
    _check_granted(connection, server, role, write=write)
    return statements


def granting(connection: Connection, server: Server, role: str, *, write: bool) -> list[str]:
    """Return the statements after which *role* may read the store, and write to it if *write*, but no more; it is made if there is none.

    :raises DataError: if the name cannot be that of a role.
    :raises DatabaseError: if *role* owns the schema, or this connection does not.
    """
    if not role or "\0" in role or len(role.encode()) > LONGEST:
        raise DataError(f"role: a name of 1 to {LONGEST} bytes is needed, not {role!r}", field="role", value=role)
    schema = server.schema
    ((owner, owned, exists, owns),) = connection.execute(_KNOWN, [schema, role]).fetchall()
    if not owned:
        problem = f"the schema {schema} belongs to {owner}, and only it can let others use it"
        raise server.error(problem, "grant", f"run this with a dsn whose user is {owner}")
    if owns:
        problem = f"{role} owns the schema {schema} or is a superuser, and may do everything whatever is granted"
        raise server.error(problem, "grant", "give programs a role of their own")
    names: dict[str, Any] = {"schema": sql.Identifier(schema), "role": sql.Identifier(role)}
    return [sql.SQL(one).format(**names).as_string(connection) for one in _statements(exists=exists, write=write)]


def _statements(*, exists: bool, write: bool) -> Iterator[str]:
    if not exists:
        yield "CREATE ROLE {role} NOLOGIN"
    yield "REVOKE ALL ON SCHEMA {schema} FROM {role}"
    yield "GRANT USAGE ON SCHEMA {schema} TO {role}"
    for things, rights in (
        ("TABLES", "SELECT, INSERT, UPDATE, DELETE" if write else "SELECT"),
        ("SEQUENCES", "USAGE, SELECT" if write else ""),
    ):
        yield f"REVOKE ALL ON ALL {things} IN SCHEMA {{schema}} FROM {{role}}"
        yield f"ALTER DEFAULT PRIVILEGES IN SCHEMA {{schema}} REVOKE ALL ON {things} FROM {{role}}"
        if rights:
            yield f"GRANT {rights} ON ALL {things} IN SCHEMA {{schema}} TO {{role}}"
            yield f"ALTER DEFAULT PRIVILEGES IN SCHEMA {{schema}} GRANT {rights} ON {things} TO {{role}}"


def _check_granted(connection: Connection, server: Server, role: str, *, write: bool) -> None:
    """Check that *role* may do what it was granted, and no more: it may be a member of others, and others may have granted it more.

    :raises DatabaseError: if that is not so.
    """
    ((reads, writes, through),) = connection.execute(_RIGHTS, [server.schema, role]).fetchall()
    if not reads or (write and not writes):
        problem = f"{role} did not get all rights: some tables of the schema {server.schema} belong to others"
        raise server.error(problem, "grant", "let their owners run this, or give the tables to the owner of the schema")
    if through and not write:
        problem = f"{role} could still write: {_because(role, through)}"
        raise server.error(problem, "grant", "take these rights away, or choose another role; nothing was changed")


def _because(role: str, through: Sequence[str]) -> str:
    others = [one for one in through if one != role]
    return f"it is a member of {', '.join(others)}" if others else "somebody else granted it, or everybody, more"
