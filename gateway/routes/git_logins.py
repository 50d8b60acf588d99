"""How builds log in to the git server of a project: show it without its secret, set a token, make a key, delete it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import marshmallow
from aiohttp import web
from marshmallow import fields, validate

from builder.protocol.giturls import EVERY_HOST, MAX_URL_LENGTH, GitUrl, parse_git_url, parse_ssh_url
from gateway.access.guard import ACTOR
from gateway.routes.answers import Answer, Moment, answer
from gateway.routes.bodies import read_json
from gateway.routes.requests import Text, load, read_slug, read_url, url_check
from gateway.services import SERVICES

MAX_TOKEN = 4096
_TOKEN = re.compile(r"[\x21-\x7e]+\Z")
_USERNAME = re.compile(r"[\x21-\x39\x3b-\x7e]{1,255}\Z")
_HOST_KEY = re.compile(r"(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) [A-Za-z0-9+/]{40,2000}={0,2}\Z")
TOKEN_USERS = {"github.com": "x-access-token", "gitlab.com": "oauth2", "bitbucket.org": "x-token-auth"}


class TokenRequest(marshmallow.Schema):
    """A token that may read the repository."""

    token = Text(
        required=True,
        validate=[
            validate.Length(min=8, max=MAX_TOKEN, error=f"has from 8 to {MAX_TOKEN} characters"),
            validate.Regexp(_TOKEN, error="has printable ASCII characters and no spaces"),
        ],
        metadata={"description": "It is never shown again.", "format": "git-token"},
    )
    username = Text(
        load_default=None,
        allow_none=True,
        validate=validate.Regexp(_USERNAME, error="has printable ASCII characters, no spaces and no colon"),
        metadata={
            "description": "Default: what the server expects with a token.",
            "example": "x-access-token",
            "format": "git-user",
        },
    )

    class Meta:
        unknown = marshmallow.RAISE


class KeyRequest(marshmallow.Schema):
    """A new deploy key. It replaces the one before."""

    sshUrl = Text(
        load_default=None,
        allow_none=True,
        validate=[
            validate.Length(max=MAX_URL_LENGTH, error=f"has at most {MAX_URL_LENGTH} characters"),
            url_check(parse_ssh_url),
        ],
        metadata={
            "description": "Default: the project's git URL, over ssh.",
            "example": "git@github.com:owner/site.git",
            "format": "ssh-url",
        },
    )
    hostKey = Text(
        load_default=None,
        allow_none=True,
        validate=validate.Regexp(_HOST_KEY, error="looks like ssh-ed25519 AAAA..., as in a known_hosts file"),
        metadata={
            "description": "The server's host key, whose fingerprint you have compared. Well-known servers need none.",
            "format": "host-key",
        },
    )

    class Meta:
        unknown = marshmallow.RAISE


class GitLoginAnswer(Answer):
    """Without its secret half. All null: the repository is cloned as a public one."""

    kind = fields.String(required=True, allow_none=True)
    username = fields.String(required=True, allow_none=True)
    public_key = fields.String(
        required=True, allow_none=True, metadata={"description": "Add it to the repository's deploy keys."}
    )
    ssh_url = fields.String(required=True, allow_none=True)
    updated_at = Moment(required=True, allow_none=True)


async def show_git_login(request: web.Request) -> web.Response:
    return await _now(request)


async def set_git_token(request: web.Request) -> web.Response:
    services, actor = request.app[SERVICES], request[ACTOR]
    asked = load(TokenRequest(), await read_json(request, services.config.api.body_bytes))
    slug = read_slug(request.match_info["slug"])
    project = await services.projects.get(actor, slug)
    host = parse_git_url(project.git_url, EVERY_HOST).host
    username = asked["username"] or TOKEN_USERS.get(host, "git")
    await services.git_logins.set_token(actor, slug, username, asked["token"])
    return await _now(request)


async def make_deploy_key(request: web.Request) -> web.Response:
    services, actor = request.app[SERVICES], request[ACTOR]
    asked = load(KeyRequest(), await read_json(request, services.config.api.body_bytes))
    slug = read_slug(request.match_info["slug"])
    project = await services.projects.get(actor, slug)
    url = _ssh_url(asked["sshUrl"], project.git_url, services.config.builder.allow_private_hosts)
    await services.git_logins.make_key(actor, slug, url, asked["hostKey"])
    return await _now(request)


async def delete_git_login(request: web.Request) -> web.Response:
    await request.app[SERVICES].git_logins.delete(request[ACTOR], read_slug(request.match_info["slug"]))
    return await _now(request)


def _ssh_url(asked: str | None, git_url: str, allow_private_hosts: Sequence[str]) -> GitUrl:
    """Raises Invalid for a host that builds may not reach."""
    known = parse_git_url(git_url, EVERY_HOST)
    host = f"[{known.host}]" if ":" in known.host else known.host
    return read_url("sshUrl", parse_ssh_url, asked or f"ssh://git@{host}{known.path}", allow_private_hosts)


async def _now(request: web.Request) -> web.Response:
    login = await request.app[SERVICES].git_logins.find(request[ACTOR], read_slug(request.match_info["slug"]))
    response = answer(request, login or dict.fromkeys(GitLoginAnswer._declared_fields))
    response.headers["Cache-Control"] = "no-store"
    return response
