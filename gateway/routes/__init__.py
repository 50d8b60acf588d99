"""All addresses of the API, the pages and the builders' API in one place, with access and answer of each."""

from __future__ import annotations

from aiohttp import web

from builder.protocol.tokens import NONCE_BYTES
from gateway import config
from gateway.access.middlewares import add_headers, errors_to_responses
from gateway.control.install_caches import InstallCaches
from gateway.control.publishing import Publisher
from gateway.engines.log_meter import LogMeter
from gateway.models.actor import Scope
from gateway.models.addresses import Addresses
from gateway.roles import LogTransport
from gateway.routes import (
    answers,
    assets,
    builders,
    deployments,
    git_logins,
    health,
    log_streams,
    logs,
    projects,
    requests,
    variable_bodies,
    variables,
)
from gateway.routes.openapi import IDEMPOTENCY_KEY, LOG_PAGE, LOG_STREAM, PAGE, VARIABLE
from gateway.routes.pages import deployment as deployment_page
from gateway.routes.pages import login, setup_pages
from gateway.routes.pages import project as project_page
from gateway.routes.pages import projects as projects_page
from gateway.routes.pages import settings as settings_page
from gateway.routes.pages import variables as variables_page
from gateway.routes.table import Access, Description, Route, add_routes
from gateway.stores.attempts import AttemptStore
from gateway.stores.deployments import DeploymentStore
from gateway.wire.clients import TrustedProxies

OPEN, ACTOR, BUILD_TOKEN = Access.OPEN, Access.ACTOR, Access.BUILD_TOKEN
READ, DEPLOY = Scope.READ, Scope.DEPLOY

API = (
    Route(
        "GET",
        "/project",
        projects.list_projects,
        access=ACTOR,
        scope=READ,
        answer=answers.ProjectList,
        about=Description(summary="Projects, newest first", parameters=PAGE),
    ),
    Route(
        "POST",
        "/project",
        projects.create_project,
        access=ACTOR,
        scope=DEPLOY,
        body=requests.ProjectRequest,
        answer=answers.DeployedAnswer,
        status=201,
        about=Description(
            summary="Create a project and deploy it", parameters=(IDEMPOTENCY_KEY,), errors=(409,), needs_body=True
        ),
    ),
    Route(
        "GET",
        "/project/{slug}",
        projects.show_project,
        access=ACTOR,
        scope=READ,
        answer=answers.ProjectAnswer,
        about=Description(summary="A project"),
    ),
    Route(
        "PATCH",
        "/project/{slug}",
        projects.change_project,
        access=ACTOR,
        scope=DEPLOY,
        body=requests.ProjectChange,
        answer=answers.ProjectAnswer,
        about=Description(
            summary="Change it; the next deployment uses the new settings", errors=(409,), needs_body=True
        ),
    ),
    Route(
        "DELETE",
        "/project/{slug}",
        projects.delete_project,
        access=ACTOR,
        scope=DEPLOY,
        body=requests.EmptyRequest,
        answer=answers.DeletedAnswer,
        status=202,
        about=Description(summary="Delete it with all its deployments, files, logs and variables"),
    ),
    Route(
        "DELETE",
        "/project/{slug}/cache",
        projects.clear_cache,
        access=ACTOR,
        scope=DEPLOY,
        body=requests.EmptyRequest,
        answer=answers.ClearedAnswer,
        about=Description(summary="Clear its install cache; the next build installs from the start"),
    ),
    Route(
        "GET",
        "/project/{slug}/deployments",
        projects.list_deployments,
        access=ACTOR,
        scope=READ,
        answer=answers.DeploymentList,
        about=Description(summary="Its deployments, newest first", parameters=PAGE),
    ),
    Route(
        "POST",
        "/project/{slug}/deployments",
        projects.deploy_again,
        access=ACTOR,
        scope=DEPLOY,
        body=requests.DeploymentRequest,
        answer=answers.DeployedAnswer,
        status=201,
        about=Description(summary="Deploy it again, or another branch, tag or commit of it"),
    ),
    Route(
        "GET",
        "/project/{slug}/variables",
        variables.list_variables,
        access=ACTOR,
        scope=READ,
        answer=variables.VariableList,
        about=Description(summary="Its variables, without the values of secrets"),
    ),
    Route(
        "PUT",
        "/project/{slug}/variables",
        variables.set_variables,
        access=ACTOR,
        scope=DEPLOY,
        body=variable_bodies.VariablesRequest,
        answer=variables.VariableList,
        about=Description(summary="Set one or many; the others stay as they are", needs_body=True),
    ),
    Route(
        "DELETE",
        "/project/{slug}/variables",
        variables.delete_variable,
        access=ACTOR,
        scope=DEPLOY,
        answer=variables.VariableList,
        about=Description(summary="Delete one, in one context or in every one", parameters=VARIABLE),
    ),
    Route(
        "GET",
        "/project/{slug}/git-login",
        git_logins.show_git_login,
        access=ACTOR,
        scope=READ,
        answer=git_logins.GitLoginAnswer,
        about=Description(summary="How its builds log in to the git server, without the secret"),
    ),
    Route(
        "DELETE",
        "/project/{slug}/git-login",
        git_logins.delete_git_login,
        access=ACTOR,
        scope=DEPLOY,
        answer=git_logins.GitLoginAnswer,
        about=Description(summary="Clone it as a public repository again"),
    ),
    Route(
        "PUT",
        "/project/{slug}/git-token",
        git_logins.set_git_token,
        access=ACTOR,
        scope=DEPLOY,
        body=git_logins.TokenRequest,
        answer=git_logins.GitLoginAnswer,
        about=Description(summary="Clone it with a token over https", needs_body=True),
    ),
    Route(
        "POST",
        "/project/{slug}/deploy-key",
        git_logins.make_deploy_key,
        access=ACTOR,
        scope=DEPLOY,
        body=git_logins.KeyRequest,
        answer=git_logins.GitLoginAnswer,
        status=201,
        about=Description(summary="Make a deploy key, and clone it over ssh", errors=(409,), needs_body=True),
    ),
    Route(
        "GET",
        "/deployment/{id}",
        deployments.show_deployment,
        access=ACTOR,
        scope=READ,
        answer=answers.DeploymentDetails,
        about=Description(summary="A deployment"),
    ),
    Route(
        "POST",
        "/deployment/{id}/cancel",
        deployments.cancel_deployment,
        access=ACTOR,
        scope=DEPLOY,
        body=requests.EmptyRequest,
        answer=answers.DeploymentAnswer,
        about=Description(summary="Cancel it; nothing is published", errors=(409,)),
    ),
    Route(
        "POST",
        "/deployment/{id}/promote",
        deployments.promote_deployment,
        access=ACTOR,
        scope=DEPLOY,
        body=requests.EmptyRequest,
        answer=answers.DeploymentAnswer,
        about=Description(summary="Make it live", errors=(409,)),
    ),
    Route(
        "GET",
        "/logs/{id}",
        logs.show_log,
        access=ACTOR,
        scope=READ,
        answer=answers.LogAnswer,
        about=Description(
            summary="The log: all of it without `after` and `limit`, otherwise the next lines up to the first gap",
            parameters=LOG_PAGE,
            media=("application/json", "text/plain"),
        ),
    ),
    Route(
        "GET",
        "/logs/{id}/stream",
        log_streams.stream_log,
        access=ACTOR,
        scope=READ,
        about=Description(
            summary="The log as server-sent events, one for each line, until an event `end`",
            parameters=LOG_STREAM,
            media=("text/event-stream",),
        ),
    ),
    Route(
        "GET",
        "/health",
        health.show_health,
        access=OPEN,
        answer=answers.HealthAnswer,
        about=Description(summary="Whether the process is alive", success="Yes."),
    ),
    Route(
        "GET",
        "/ready",
        health.show_ready,
        access=OPEN,
        answer=answers.ReadyAnswer,
        about=Description(
            summary="Whether everything works", success="Yes.", trouble="Something does not work; `troubles` says what."
        ),
    ),
    Route(
        "GET",
        "/metrics",
        health.show_metrics,
        access=ACTOR,
        scope=READ,
        about=Description(summary="Figures for Prometheus", media=("text/plain",)),
    ),
    Route(
        "GET",
        "/openapi.json",
        health.show_openapi,
        access=ACTOR,
        scope=READ,
        about=Description(summary="This description"),
    ),
)
PAGES = (
    Route("GET", "/", projects_page.show_projects, access=ACTOR, scope=READ),
    Route("POST", "/deploy", projects_page.deploy, access=ACTOR, scope=DEPLOY),
    Route("GET", "/p/{slug}", project_page.show_project, access=ACTOR, scope=READ),
    Route("GET", "/p/{slug}/settings", settings_page.show_settings, access=ACTOR, scope=READ),
    Route("POST", "/p/{slug}/settings", settings_page.change, access=ACTOR, scope=DEPLOY),
    Route("POST", "/p/{slug}/cache", settings_page.clear_cache, access=ACTOR, scope=DEPLOY),
    Route("POST", "/p/{slug}/delete", settings_page.delete, access=ACTOR, scope=DEPLOY),
    Route("GET", "/p/{slug}/variables", variables_page.show_variables, access=ACTOR, scope=READ),
    Route("POST", "/p/{slug}/variables", variables_page.change_variables, access=ACTOR, scope=DEPLOY),
    Route("POST", "/p/{slug}/variables/delete", variables_page.delete_variable, access=ACTOR, scope=DEPLOY),
    Route("POST", "/p/{slug}/deploy", project_page.deploy_again, access=ACTOR, scope=DEPLOY),
    Route("GET", "/d/{deployment}", deployment_page.show_deployment, access=ACTOR, scope=READ),
    Route("POST", "/d/{deployment}/cancel", deployment_page.cancel, access=ACTOR, scope=DEPLOY),
    Route("POST", "/d/{deployment}/promote", deployment_page.promote, access=ACTOR, scope=DEPLOY),
    Route("GET", "/login", login.show_login, access=OPEN),
    Route("POST", "/login", login.log_in, access=OPEN),
    Route("POST", "/logout", login.log_out, access=ACTOR, scope=READ),
    Route("GET", "/static/{version}/{name:.+}", assets.show_asset, access=OPEN),
    Route("GET", "/favicon.ico", assets.show_icon, access=OPEN),
)

_BUILD = builders.ROOT
_HEX = "[0-9a-f]{64}"
BUILDERS = (
    Route("GET", f"{_BUILD}/proof/{{nonce:[0-9a-f]{{{2 * NONCE_BYTES}}}}}", builders.prove, access=OPEN),
    Route("GET", f"{_BUILD}/job", builders.show_job, access=BUILD_TOKEN),
    Route("POST", f"{_BUILD}/heartbeat", builders.take_heartbeat, access=BUILD_TOKEN),
    Route("POST", f"{_BUILD}/step", builders.take_step, access=BUILD_TOKEN),
    Route("POST", f"{_BUILD}/facts", builders.take_facts, access=BUILD_TOKEN),
    Route("POST", f"{_BUILD}/lines", builders.take_lines, access=BUILD_TOKEN),
    Route("POST", f"{_BUILD}/manifest", builders.take_manifest, access=BUILD_TOKEN),
    Route("PUT", f"{_BUILD}/blobs/{{sha256:{_HEX}}}", builders.take_blob, access=BUILD_TOKEN),
    Route("GET", f"{_BUILD}/cache/{{key:{_HEX}}}", builders.give_cache, access=BUILD_TOKEN),
    Route("PUT", f"{_BUILD}/cache/{{key:{_HEX}}}/{{sha256:{_HEX}}}", builders.take_cache, access=BUILD_TOKEN),
    Route("POST", f"{_BUILD}/finish", builders.take_finish, access=BUILD_TOKEN),
)


def create_builders_app(
    deployments: DeploymentStore,
    attempts: AttemptStore,
    publisher: Publisher,
    transport: LogTransport,
    settings: config.Builder,
    install_key: builders.InstallKey,
    addresses: Addresses,
    proxies: TrustedProxies,
    variables_of: builders.VariablesOf,
    login_of: builders.LoginOf,
    caches: InstallCaches,
) -> web.Application:
    """Every call but the proof is refused before its body is read, unless its token is that of a running attempt."""
    app = web.Application(
        middlewares=[errors_to_responses, builders.check_account, builders.check_build_token],
        client_max_size=builders.MAX_MANIFEST_BYTES,
    )
    app[builders.DESK] = builders.BuildersDesk(
        deployments,
        attempts,
        publisher,
        transport,
        settings,
        install_key,
        addresses,
        proxies,
        LogMeter(settings.log_bytes),
        variables_of,
        login_of,
        caches,
    )
    add_routes(app, BUILDERS)
    app.on_response_prepare.append(add_headers)
    return app


def setup_routes(app: web.Application) -> None:
    add_routes(app, (*API, *PAGES))
    log_streams.setup_streams(app)
    setup_pages(app)
