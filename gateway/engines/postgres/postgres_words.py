"""Turns the driver's errors about the server into our words."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator

import asyncpg

from gateway.errors import Invalid, Unavailable

PASSING_CLASSES = frozenset({"08", "25", "28", "3D", "40", "53", "54", "55", "57", "58", "F0", "XX"})
"""SQLSTATE classes of the server's state, not of our SQL: connection, resources, locks, shutdown, disk."""
DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
LOST = "The connection to the database was lost."
NOT_PREPARED = frozenset({"42P01", "42703", "42883"})
FORBIDDEN = "42501"
NO_DATABASE = "3D000"
PARAMETERS = frozenset({"42704", "55P02", "22023"})
"""While connecting: a parameter of the URL is unknown, cannot be changed, or has an invalid value."""
NO_ROOM = frozenset({"53100"})
STATEMENT_MIXED_UP = frozenset({"26000", "42P05"})
"""An unknown or duplicate prepared statement: the connection now leads to another server session."""
POOLER = (
    "A pooler that shares connections between transactions (such as pgbouncer) is in front of the database:"
    " set postgres.is_pooled = true."
)
WANTS_TLS = (
    "The database does not accept connections without TLS: set sslmode=require, or better verify-full, in postgres.url."
)
HAS_NO_TLS = (
    "The database does not speak TLS, but sslmode in postgres.url requires it: turn on TLS at the server, or set"
    " sslmode=disable where you trust the network."
)


@contextlib.contextmanager
def in_our_words(*, connecting: bool = False, server: str = "") -> Iterator[None]:
    """Errors about the server become Unavailable, values that cannot be stored become Invalid. All others pass.

    `server`: its address, if it has one.
    """
    try:
        yield
    except UnicodeEncodeError as error:
        raise Invalid("Text must be valid Unicode.") from error
    except asyncpg.CharacterNotInRepertoireError as error:
        raise Invalid("Text must not contain NUL characters.") from error
    except asyncpg.PostgresError as error:
        if connecting and error.sqlstate in PARAMETERS:
            raise Unavailable(_about_a_parameter(error)) from error
        if isinstance(error, asyncpg.DataError):
            raise Invalid("A value has the wrong type or is out of range.") from error
        if not _is_about_the_server(error):
            raise
        raise Unavailable(_sentence(error)) from error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        lost = "The database cannot be reached: check postgres.url." if connecting else LOST
        raise Unavailable(lost) from error
    except TimeoutError as error:
        raise Unavailable("The database did not answer in time.") from error
    except (OSError, ValueError) as error:
        if not connecting:
            raise
        raise Unavailable(_unreached(error, server)) from error


def _is_about_the_server(error: asyncpg.PostgresError) -> bool:
    state = error.sqlstate or ""
    return state[:2] in PASSING_CLASSES or state in NOT_PREPARED | STATEMENT_MIXED_UP | {FORBIDDEN}


def _about_a_parameter(error: asyncpg.PostgresError) -> str:
    said = str(error).rstrip(".")[:200]
    return f"The database refuses a parameter of postgres.url (DATABASE_URL), {said}: leave it out, or correct it."


def _sentence(error: asyncpg.PostgresError) -> str:
    state, said = error.sqlstate or "", str(error).lower()
    if state in STATEMENT_MIXED_UP or "startup parameter" in said:
        return POOLER
    if "ssl required" in said or "no encryption" in said:
        return WANTS_TLS
    if state in NO_ROOM:
        return "The database's disk is full."
    if state in NOT_PREPARED:
        return "The database is not prepared for this version: `buildspace migrate` does that."
    if state == FORBIDDEN:
        return (
            "The user in postgres.url may not do this in the database: let it own the database, or give it what is in"
            " there: GRANT CREATE ON SCHEMA public, and all rights on its tables."
        )
    if state == NO_DATABASE or "no such database" in said:
        return "The server does not have the database that postgres.url names: create it, or correct the name."
    if state.startswith("28"):
        return "The database rejects the user: check the user and the password in postgres.url."
    return "The database cannot do this at the moment."


def _unreached(error: Exception, server: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"The database's certificate is not accepted: {error.verify_message.rstrip('.')}. In postgres.url"
            " set sslrootcert to the authority that signed it, and the host to the name in it."
        )
    if isinstance(error, ssl.SSLError):
        return f"TLS with the database failed: {error.reason or type(error).__name__}. Check sslmode in postgres.url."
    if "SSL upgrade" in str(error):
        return HAS_NO_TLS
    if isinstance(error, OSError) and error.filename:
        return f"The file {error.filename}, which postgres.url names, cannot be read: {error.strerror}."
    number = error.errno if isinstance(error, OSError) else None
    # Event loops word the same failure differently, the system does not. Numbers of failed name lookups are negative.
    known = os.strerror(number) if number and number > 0 else getattr(error, "strerror", None)
    reason = (known or type(error).__name__).rstrip(".")
    if server:
        return (
            f"The database at {server} cannot be reached: {reason}. Look whether it runs, and at host and port in"
            " postgres.url (DATABASE_URL)."
        )
    return f"The database cannot be reached: {reason}."
