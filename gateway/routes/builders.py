"""The builders' API (builder/protocol/calls.py), on a port of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import aiohttp
from aiohttp import web

from builder.protocol import calls
from builder.protocol.giturls import parse_git_url
from builder.protocol.lines import LAST_MOMENT, MAX_ATTEMPT, MAX_RECORD_BYTES, decode_batch
from builder.protocol.settings import BY_NAME, SETTINGS, Settings, UsedSetting
from builder.protocol.tokens import is_token, make_proof, make_token
from gateway import config
from gateway.access.middlewares import Handler
from gateway.access.wrong_tokens import WrongTokens
from gateway.control.install_caches import InstallCaches
from gateway.control.publishing import Publisher
from gateway.engines.log_meter import LogMeter
from gateway.errors import Conflict, Invalid, NotFound, TooSlow, Unauthorized, Unavailable
from gateway.models import lifecycle
from gateway.models.actor import OWNER
from gateway.models.addresses import Addresses
from gateway.models.deployment import Deployment
from gateway.models.variable import Variable
from gateway.roles import LogTransport
from gateway.routes.bodies import read_body
from gateway.routes.table import ROUTES, Access
from gateway.stores.attempts import AttemptStore
from gateway.stores.deployments import DeploymentStore
from gateway.stores.install_caches import CacheEntry
from gateway.wire.clients import TrustedProxies
from gateway.wire.listeners import is_of_our_account

MAX_BODY_BYTES = 64 * 1024
MAX_MANIFEST_BYTES = 16 * 1024 * 1024
READ_SECONDS = 60.0
BLOB_SILENCE_SECONDS = 60.0
CHUNK_BYTES = 256 * 1024
BROKEN = (ConnectionError, web.RequestPayloadError, aiohttp.ClientPayloadError)

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
ROOT = f"/builds/{{deployment:{_UUID}}}/{{attempt:[1-9][0-9]{{0,2}}}}"
_KIND = re.compile(r"[a-z0-9-]{1,60}\Z")
_TOKEN = re.compile(r"Bearer ([0-9a-f]{64})\Z")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

T = TypeVar("T")
InstallKey = Callable[[], Awaitable[bytes]]
VariablesOf = Callable[[Deployment], Awaitable[tuple[str, Sequence[Variable]]]]
"""The deployment's context, and the variables that this gives it."""
LoginOf = Callable[[Deployment], Awaitable[tuple[str, calls.GitToken | None, calls.DeployKey | None]]]
"""The URL to clone, and the login for it."""


@dataclasses.dataclass(slots=True)
class BuildersDesk:
    """What the handlers of the builders' API share."""

    deployments: DeploymentStore
    attempts: AttemptStore
    publisher: Publisher
    transport: LogTransport
    settings: config.Builder
    install_key: InstallKey
    addresses: Addresses
    proxies: TrustedProxies
    meter: LogMeter
    variables_of: VariablesOf
    login_of: LoginOf
    caches: InstallCaches
    wrong_tokens: WrongTokens = dataclasses.field(default_factory=WrongTokens)


DESK = web.AppKey("desk", BuildersDesk)
BUILD: web.RequestKey[tuple[uuid.UUID, int]] = web.RequestKey("build", tuple)
"""The deployment and the attempt whose token the call has."""


@web.middleware
async def check_account(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Builds may have accounts of their own; their builders have the gateway's."""
    if not is_of_our_account(request.transport):
        raise Unauthorized("The builders' API on this socket is for processes of the gateway's account.")
    return await handler(request)


@web.middleware
async def check_build_token(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses a call without the token that its route asks for, before its body is read."""
    route = request.app[ROUTES].get(request.match_info.route)
    if route is not None and route.access is Access.BUILD_TOKEN:
        request[BUILD] = await _authorized(request)
    return await handler(request)


async def prove(request: web.Request) -> web.Response:
    """Proves that this is the gateway, before the builder sends its token. So it needs no login and reveals no
    deployment.

    Any client may ask, for any deployment: the answer proves knowledge of the token, but gives no access and signs
    nothing.
    """
    deployment_id, attempt = _named(request)
    token = make_token(await request.app[DESK].install_key(), deployment_id, attempt)
    return web.Response(body=make_proof(token, deployment_id, attempt, request.match_info["nonce"]))


async def show_job(request: web.Request) -> web.Response:
    desk = request.app[DESK]
    deployment = await _running(request)
    limits = desk.settings
    git_url, token, key = await desk.login_of(deployment)
    context, variables = await desk.variables_of(deployment)
    job = calls.Job(
        project_slug=deployment.project_slug,
        git_url=git_url,
        branch=deployment.source.ref,
        call=deployment.overrides,
        project=Settings(**{setting.name: getattr(deployment.settings, setting.name) for setting in SETTINGS}),
        site_url=desk.addresses.site(deployment.project_slug),
        deployment_url=desk.addresses.deployment(deployment.project_slug, deployment.id),
        context=context,
        time_limit_seconds=limits.time_limit_seconds,
        memory_bytes=limits.memory_bytes,
        processes=limits.processes,
        disk_bytes=limits.disk_bytes,
        log_bytes=limits.log_bytes,
        output_files=limits.output_files,
        output_bytes=limits.output_bytes,
        file_bytes=limits.file_bytes,
        allow_private_hosts=limits.allow_private_hosts,
        kafka=desk.transport.for_builders,
        variables=tuple(calls.Variable(each.name, each.value, each.is_secret, each.is_public) for each in variables),
        git_token=token,
        deploy_key=key,
        cache_bytes=desk.caches.entry_bytes,
    )
    return _json(job.to_json())


async def take_heartbeat(request: web.Request) -> web.Response:
    deployment_id, attempt = request[BUILD]
    await _ended_if_unknown(request.app[DESK].attempts.heartbeat(deployment_id, attempt, calls.LEASE_SECONDS))
    return web.Response(status=204)


async def take_step(request: web.Request) -> web.Response:
    deployment = await _running(request)
    started = _parsed(calls.StepStarted.from_json, await _body(request, MAX_BODY_BYTES))
    _check_number("at", started.at, LAST_MOMENT)
    await request.app[DESK].attempts.start_step(deployment.id, deployment.attempt, started.step, started.at)
    return web.Response(status=204)


async def take_facts(request: web.Request) -> web.Response:
    deployment = await _running(request)
    facts = _parsed(calls.Facts.from_json, await _body(request, MAX_BODY_BYTES))
    if facts.git_url is not None:
        _check_git_url(facts.git_url, request.app[DESK].settings.allow_private_hosts)
    await request.app[DESK].attempts.add_facts(deployment.id, deployment.attempt, _plain_facts(facts))
    return web.Response(status=204)


async def take_lines(request: web.Request) -> web.Response:
    desk = request.app[DESK]
    deployment = await _running(request)
    record = await _body(request, MAX_RECORD_BYTES)
    batch = _parsed(decode_batch, record)
    if (batch.deployment_id, batch.attempt) != (deployment.id, deployment.attempt):
        raise Invalid("The lines belong to another deployment or attempt than the token.")
    if max(line.at for line in batch.lines) > LAST_MOMENT:
        raise Invalid("The time of a line is after the year 9999.")
    desk.meter.check(batch, len(record))
    await desk.transport.send(batch)
    desk.meter.count(batch, len(record))
    return web.Response(status=204)


async def take_manifest(request: web.Request) -> web.Response:
    deployment = await _running(request)
    body = await _body(request, MAX_MANIFEST_BYTES)
    manifest = await asyncio.to_thread(_parsed, calls.Manifest.from_json, body)
    missing = await request.app[DESK].publisher.accept_manifest(deployment, manifest)
    return _json(json.dumps({"missing": missing}).encode())


async def take_blob(request: web.Request) -> web.Response:
    deployment = await _running(request)
    _check_encoding(request)
    if request.content_length is None:
        raise Invalid("A blob needs a Content-Length.")
    sha256 = request.match_info["sha256"]
    await request.app[DESK].publisher.store_blob(deployment, sha256, request.content_length, _chunks(request))
    return web.Response(status=204)


async def give_cache(request: web.Request) -> web.StreamResponse:
    """Whatever a broken connection leaves out, the builder notices by the digest."""
    deployment = await _running(request)
    caches = request.app[DESK].caches
    async with caches.opened(deployment.project_id, request.match_info["key"]) as (entry, reader):
        headers = {calls.DIGEST_HEADER: entry.sha256, "Content-Length": str(entry.bytes)}
        response = web.StreamResponse(headers=headers)
        response.content_type = "application/octet-stream"
        await response.prepare(request)
        async for chunk in reader.chunks():
            await response.write(chunk)
        await response.write_eof()
    return response


async def take_cache(request: web.Request) -> web.Response:
    """The attempt has ended already: the site goes live before its installation is saved."""
    caches = request.app[DESK].caches
    deployment_id, attempt = request[BUILD]
    deployment = await _ended_if_unknown(request.app[DESK].deployments.get(OWNER, deployment_id))
    _check_encoding(request)
    if request.content_length is None:
        raise Invalid("A saved installation needs a Content-Length.")
    entry = CacheEntry(deployment.project_id, request.match_info["sha256"], request.content_length)
    context, _ = await request.app[DESK].variables_of(deployment)
    await caches.save(deployment, attempt, context, request.match_info["key"], entry, _chunks(request))
    return web.Response(status=204)


async def take_finish(request: web.Request) -> web.Response:
    desk = request.app[DESK]
    deployment_id, attempt = request[BUILD]
    deployment = await _ended_if_unknown(desk.deployments.get(OWNER, deployment_id))
    finish = _parsed(calls.Finish.from_json, await _body(request, MAX_BODY_BYTES))
    await desk.publisher.finish(deployment, attempt, _plain_finish(finish, desk.meter.most_lines))
    return web.Response(status=204)


async def _running(request: web.Request) -> Deployment:
    """The deployment whose running attempt makes this call. Raises Conflict if the attempt has ended."""
    deployment_id, attempt = request[BUILD]
    deployment = await _ended_if_unknown(request.app[DESK].deployments.get(OWNER, deployment_id))
    if not lifecycle.is_running(deployment, attempt):
        raise Conflict(f"Attempt {attempt} of deployment {deployment_id} has ended.")
    return deployment


async def _authorized(request: web.Request) -> tuple[uuid.UUID, int]:
    """The deployment and attempt in the path, if the token belongs to them. Raises Unauthorized."""
    desk = request.app[DESK]
    deployment_id, attempt = _named(request)
    token = _TOKEN.match(request.headers.get("Authorization", ""))
    if token is None or attempt > MAX_ATTEMPT:
        raise Unauthorized("The builders' API needs a build token.")
    if not is_token(token[1], await desk.install_key(), deployment_id, attempt):
        await desk.wrong_tokens.delay(desk.proxies.client_of(request))
        raise Unauthorized("The build token does not belong to this attempt.")
    return deployment_id, attempt


def _plain_finish(finish: calls.Finish, most_lines: int) -> calls.Finish:
    _check_number("lastSeq", finish.last_seq, most_lines)
    if finish.exit_code is not None:
        _check_number("exitCode", finish.exit_code, 2**31 - 1, least=-(2**31))
    return dataclasses.replace(
        finish, reason=_plain_text(finish.reason, 2000), failure=_plain_failure(finish.failure, most_lines)
    )


def _plain_failure(failure: calls.Failure | None, most_lines: int) -> calls.Failure | None:
    if failure is None:
        return None
    if not _KIND.match(failure.kind):
        raise Invalid("The kind of a failure is made of small letters, digits and hyphens, 60 at most.")
    if failure.seq is not None:
        _check_number("seq", failure.seq, most_lines, least=1)
    return dataclasses.replace(failure, line=_plain_text(failure.line, 300), advice=_plain_text(failure.advice, 1000))


def _named(request: web.Request) -> tuple[uuid.UUID, int]:
    """The deployment and attempt in the path."""
    return uuid.UUID(request.match_info["deployment"]), int(request.match_info["attempt"])


async def _body(request: web.Request, limit_bytes: int) -> bytes:
    """The whole body. Raises what read_body raises, and Unavailable if the connection breaks first."""
    _check_encoding(request)
    try:
        return await read_body(request, limit_bytes, READ_SECONDS)
    except BROKEN as error:
        raise Unavailable("The connection ended before the body did.") from error


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    while True:
        try:
            async with asyncio.timeout(BLOB_SILENCE_SECONDS):
                chunk = await request.content.read(CHUNK_BYTES)
        except TimeoutError as error:
            raise TooSlow(f"Nothing arrived for {BLOB_SILENCE_SECONDS:.0f} seconds.") from error
        except BROKEN as error:
            raise Unavailable("The connection ended before the bytes did.") from error
        if not chunk:
            return
        yield chunk


async def _ended_if_unknown(call: Awaitable[T]) -> T:
    try:
        return await call
    except NotFound as error:
        raise Conflict("This deployment is gone.") from error


def _check_encoding(request: web.Request) -> None:
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise Invalid("Bodies are sent as they are, without a Content-Encoding.")


def _parsed(read: Callable[[bytes], T], body: bytes) -> T:
    try:
        return read(body)
    except ValueError as error:
        raise Invalid(str(error)[:500]) from error


def _check_number(name: str, value: int, most: int, *, least: int = 0) -> None:
    if not least <= value <= most:
        raise Invalid(f"{name} must be a whole number from {least} to {most}.")


def _plain_facts(facts: calls.Facts) -> calls.Facts:
    return calls.Facts(
        commit_sha=_plain_text(facts.commit_sha, 64),
        commit_message=_plain_text(facts.commit_message, 1000),
        framework=_plain_text(facts.framework, 64),
        node_version=_plain_text(facts.node_version, 64),
        isolation=facts.isolation,
        settings=_plain_settings(facts.settings),
        git_url=facts.git_url,
    )


def _check_git_url(url: str, allow_private_hosts: Sequence[str]) -> None:
    try:
        parse_git_url(url, allow_private_hosts)
    except ValueError as error:
        raise Invalid(f"gitUrl is wrong: {error}") from error


def _plain_settings(used: tuple[UsedSetting, ...] | None) -> tuple[UsedSetting, ...] | None:
    if used is None:
        return None
    known = [each for each in used if each.name in BY_NAME]
    return tuple(UsedSetting(each.name, _plain(each.value, 2000), _plain(each.origin, 200)) for each in known[:50])


def _plain_text(value: str | None, limit: int) -> str | None:
    """Shortened to the limit; control characters and invalid Unicode are replaced."""
    return None if value is None else _plain(value, limit)


def _plain(value: str, limit: int) -> str:
    # Replaced, not removed: the builder has masked the text already, and removal could join the halves of a secret.
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", value[:limit]).encode("utf-8", "replace").decode()


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
