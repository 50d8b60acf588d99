"""What the gateway measures about itself, for Prometheus, in a registry of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from builder.protocol.lines import LineBatch
from gateway.access.middlewares import Handler
from gateway.background import Health
from gateway.errors import GatewayError
from gateway.models.deployment import Status
from gateway.roles import LogStore

log = logging.getLogger(__name__)

SECONDS = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0)


class CountsDeployments(Protocol):
    async def count_deployments(self) -> dict[Status, int]: ...


class Metrics:
    def __init__(self, deployments: CountsDeployments, health: Health) -> None:
        self._deployments = deployments
        self._health = health
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "buildspace_http_requests", "Calls of the API.", ["method", "route", "status"], registry=self._registry
        )
        self.malformed = Counter(
            "buildspace_malformed_requests",
            "Requests that were not valid HTTP/1.0 or HTTP/1.1.",
            ["listener", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "buildspace_http_request_seconds",
            "How long they took.",
            ["route"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self.log_lines = Counter(
            "buildspace_log_lines_stored", "Lines given to the log store.", registry=self._registry
        )
        self.site_responses = Counter(
            "buildspace_site_responses", "Answers of sites.", ["status"], registry=self._registry
        )
        self.site_seconds = Histogram(
            "buildspace_site_response_seconds", "How long they took.", buckets=SECONDS, registry=self._registry
        )
        self.site_bytes = Counter("buildspace_site_bytes", "Bytes of bodies that sites sent.", registry=self._registry)
        self._by_status = Gauge("buildspace_deployments", "Deployments.", ["status"], registry=self._registry)
        self._ready = Gauge("buildspace_ready", "1: nothing is in trouble.", registry=self._registry)

    async def collect(self) -> bytes:
        """The text that Prometheus reads. While the database is away, its last known values."""
        self._ready.set(not self._health.troubles)
        try:
            counts = await self._deployments.count_deployments()
        except GatewayError as error:
            log.warning("deployments not counted: %s", error)
        else:
            for status in Status:
                self._by_status.labels(str(status)).set(counts.get(status, 0))
        return generate_latest(self._registry)

    def count_malformed(self, listener: str) -> Callable[[int], None]:
        return lambda status: self.malformed.labels(listener, str(status)).inc()

    def count_site_response(self, status: int, body_bytes: int, seconds: float) -> None:
        self.site_responses.labels(str(status)).inc()
        self.site_bytes.inc(body_bytes)
        self.site_seconds.observe(seconds)


def count_requests(metrics: Metrics) -> Middleware:
    """Counts by route, not by path: the number of different paths has no limit."""

    @web.middleware
    async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "none"
        began = time.perf_counter()
        status = 499
        try:
            response = await handler(request)
            status = response.status
            return response
        except web.HTTPException as answer:
            status = answer.status
            raise
        finally:
            method = request.method if request.method in ("GET", "HEAD", "POST", "OPTIONS") else "other"
            metrics.requests.labels(method, route, str(status)).inc()
            metrics.seconds.labels(route).observe(time.perf_counter() - began)

    return counted


class CountedLogs:
    """A log store that counts the lines that the consumer appends."""

    def __init__(self, logs: LogStore, lines: Counter) -> None:
        self._logs = logs
        self._lines = lines

    async def append(self, batches: Sequence[LineBatch]) -> None:
        await self._logs.append(batches)
        self._lines.inc(sum(len(batch.lines) for batch in batches))
