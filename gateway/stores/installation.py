"""Remembers what all gateways on one database share: the install key and the hash of the access token."""

from __future__ import annotations

import secrets

from gateway.engines.postgres.database import Database

INSTALL_KEY = "install_key"
TOKEN_HASH = "token_hash"  # noqa: S105 - the name of a row


class InstallationStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def install_key(self) -> bytes:
        """32 random bytes. The first call makes them; they never change."""
        async with self._database.acquire() as connection:
            await connection.execute(
                """
                INSERT INTO installation (name, value)
                VALUES ($1, $2)
                ON CONFLICT (name) DO NOTHING
                """,
                INSTALL_KEY,
                secrets.token_bytes(32),
            )
            key: bytes = await connection.fetchval("SELECT value FROM installation WHERE name = $1", INSTALL_KEY)
            return key

    async def token_hash(self) -> bytes | None:
        """The hash of the access token. None: no token was made yet."""
        async with self._database.acquire() as connection:
            found: bytes | None = await connection.fetchval(
                "SELECT value FROM installation WHERE name = $1",
                TOKEN_HASH,
            )
            return found

    async def set_token_hash(self, token_hash: bytes) -> None:
        """Replace the hash, which revokes the old token."""
        async with self._database.acquire() as connection:
            await connection.execute(
                """
                INSERT INTO installation (name, value)
                VALUES ($1, $2)
                ON CONFLICT (name) DO UPDATE SET value = excluded.value, created_at = now()
                """,
                TOKEN_HASH,
                token_hash,
            )
