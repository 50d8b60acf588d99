"""The environment of a build's commands, made from an allow-list. No other variable of the builder is passed on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from builder.protocol.calls import Job
from builder.protocol.registries import INDEXES, REGISTRIES
from builder.protocol.variables import NODE_OPTIONS, refuse_name

FIXED = {
    "CI": "true",
    "BUILDSPACE": "1",
    "FORCE_COLOR": "1",
    "PULL_REQUEST": "false",
    "TZ": "UTC",
    "LANG": "C.UTF-8",
    "BROWSER": "none",
    "DO_NOT_TRACK": "1",
    # git ends if the machine has these files and the sandbox does not show them. They configure other people's git.
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "ASTRO_TELEMETRY_DISABLED": "1",
    "GATSBY_TELEMETRY_DISABLED": "1",
    "NEXT_TELEMETRY_DISABLED": "1",
    "NG_CLI_ANALYTICS": "false",
    "NUXT_TELEMETRY_DISABLED": "1",
    "STORYBOOK_DISABLE_TELEMETRY": "1",
    "YARN_ENABLE_TELEMETRY": "0",
    "npm_config_audit": "false",
    "npm_config_fund": "false",
    "npm_config_progress": "false",
    "npm_config_update_notifier": "false",
}
CERTIFICATES = ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "NODE_USE_SYSTEM_CA")
HEAP_PERCENT = 75
"""Of the build's memory, for the heap of Node. The rest is for what Node has beside its heap."""
VISIBLE = ("/etc/ssl/", "/usr/")
"""Folders of the machine that are readable inside the sandbox."""


def make_environment(home: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """For every command of a build, without PATH. `home` is the path inside the sandbox."""
    environment = {"HOME": home, **FIXED}
    for name in CERTIFICATES:
        value = environ.get(name, "")
        if value and (_is_visible(value) or name == "NODE_USE_SYSTEM_CA"):
            environment[name] = value
    for name in REGISTRIES:
        if environ.get(name):
            environment["npm_config_registry"] = environment["YARN_NPM_REGISTRY_SERVER"] = environ[name]
    for name in INDEXES:
        if environ.get(name):
            environment.setdefault("PIP_INDEX_URL", environ[name])
            environment.setdefault("UV_DEFAULT_INDEX", environ[name])
    if "SSL_CERT_FILE" in environment:
        # uv reads SSL_CERT_FILE itself.
        environment["PIP_CERT"] = environment["REQUESTS_CA_BUNDLE"] = environment["SSL_CERT_FILE"]
    return environment


def describe_deployment(job: Job, branch: str, commit: str) -> dict[str, str]:
    """What builds ask about their deployment, by the names of other hosts, and a heap that fits the memory limit.

    NETLIFY, VERCEL and CF_PAGES are not among them: frameworks would build for those hosts.
    """
    return {
        "URL": job.site_url,
        "DEPLOY_URL": job.deployment_url,
        "DEPLOY_PRIME_URL": job.site_url if job.context == "production" else job.deployment_url,
        "BRANCH": branch,
        "HEAD": branch,
        "COMMIT_REF": commit,
        "CONTEXT": job.context,
        # Node's own choice depends on the machine's memory, of which a build has only a part.
        NODE_OPTIONS: f"--max-old-space-size={job.memory_bytes * HEAP_PERCENT // 100 // 2**20}",
    }


def with_variables(environment: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """The variables stand above the environment, except for names that the platform keeps for itself.

    Their NODE_OPTIONS follow those of the environment.
    """
    own = {name: value for name, value in variables.items() if refuse_name(name) is None}
    options = " ".join(filter(None, (environment.get(NODE_OPTIONS), own.get(NODE_OPTIONS))))
    return {**environment, **own, **({NODE_OPTIONS: options} if options else {})}


def _is_visible(path: str) -> bool:
    """If the file is a link, its target must be visible too."""
    return path.startswith(VISIBLE) and f"{Path(path).resolve()}/".startswith(VISIBLE)
