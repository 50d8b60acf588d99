"""Counts what is stored, for /metrics."""

from __future__ import annotations

from gateway.engines.postgres.database import Database
from gateway.models.deployment import Status


class StatisticsStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def count_deployments(self) -> dict[Status, int]:
        """The number of deployments in each state. States without any are left out."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(
                """
                SELECT status, count(*) AS number
                FROM deployments
                GROUP BY status
                """
            )
        return {Status(row["status"]): row["number"] for row in rows}
