"""Commits, and what may have become of one that was not acknowledged: by a server that went away, or by the replicas that it waits for."""

from __future__ import annotations

import psycopg

from fpa_core.exceptions import CommitInDoubtError, NotReplicatedError
from fpa_plugins.postgres.servers.server import Connection, Server

__all__ = ["commit"]


def commit(server: Server, connection: Connection) -> None:
    """Commit the transaction of a connection.

    :raises CommitInDoubtError: if the connection was lost meanwhile.
    :raises NotReplicatedError: if a replica that should have it may not.
    :raises DatabaseError: if a statement had failed, so that nothing was kept.
    """
    warnings: list[str] = []

    def hear(notice: psycopg.errors.Diagnostic) -> None:  # which can be read only now
        if notice.severity_nonlocalized == "WARNING":
            warnings.append(notice.message_primary or "")

    connection.add_notice_handler(hear)
    try:
        done = connection.execute(b"COMMIT").statusmessage
    except psycopg.OperationalError as error:
        if not connection.closed:
            raise
        problem = "the connection was lost during the commit; the batch was kept as a whole, or not at all"
        hint = "look at the batches, or write it again: rows that are there already are recognised"
        raise server.error(problem, "commit", hint, CommitInDoubtError) from error
    finally:
        connection.remove_notice_handler(hear)
    if done != "COMMIT":  # a statement failed, and its error was not passed on
        raise server.error("a statement of the batch failed; nothing of it was kept", "commit")
    if warnings:  # the wait for a replica was cancelled
        problem = f"the batch was kept by this server, but not acknowledged: {warnings[0]}"
        hint = "look after the replicas, and write it again: rows that are there already are recognised"
        raise server.error(problem, "commit", hint, NotReplicatedError)
