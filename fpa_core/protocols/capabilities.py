"""Optional capabilities of backends."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Capability"]


class Capability(StrEnum):
    """An optional capability of a backend. The test kits test those declared, and skip the others."""

    PERSISTENT = "persistent"
    """Data outlive the process."""
    SHARED = "shared"
    """Several processes may use the same data at the same time."""
    STORES_BYTES = "stores_bytes"
    """A cache that stores bytes: DataCache encodes values for it."""
    KNOWN_AT = "known_at"
    """A store that can answer as of an earlier time of knowledge (`Query.known_at_ns`)."""
    VERSIONS = "versions"
    """A store that can list every version of a record with a key (`StoreBackend.history`)."""
    UNDO = "undo"
    """A store that can undo a whole batch."""
    SEAL = "seal"
    """A store that can move history to its own compact form."""
    NOTIFIES = "notifies"
    """A store that tells other processes what a batch changed (`StoreBackend.follow`)."""
    HISTORY = "history"
    """A source that can be asked for a range of time (:class:`~fpa_core.protocols.HistorySource`)."""
    LIVE = "live"
    """A source that delivers as things happen (:class:`~fpa_core.protocols.LiveSource`)."""
    ACCOUNT = "account"
    """A source that knows an account (:class:`~fpa_core.protocols.AccountSource`)."""
    ORDERS = "orders"
    """A source that delivers updates of orders as they happen (:class:`~fpa_core.protocols.OrderSource`)."""
    CORPORATE_ACTIONS = "corporate_actions"
    """A source that lists corporate actions of many symbols at once (:class:`~fpa_core.protocols.CorporateActionSource`)."""
    LATEST = "latest"
    """A source that can be asked for the latest record of symbols (:class:`~fpa_core.protocols.LatestSource`)."""
    BACKUP = "backup"
    """A store that can copy itself to a file while it is written to."""
    ROLES = "roles"
    """A store on a server that has roles, which can be allowed to read it, or to write to it as well."""
    COMPACT = "compact"
    """A store that can give back the space that nothing uses."""
    REACH = "reach"
    """A validator that knows which rows of other kinds its rules look at (`ValidatorBackend.reach`)."""
    SESSIONS = "sessions"
    """A validator that knows when the market of a symbol was open (`ValidatorBackend.sessions`)."""
