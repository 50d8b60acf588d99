"""The `buildspace` command. Each command imports what it needs inside, so that it starts without the others."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.config import Config, load_config
from gateway.config.resources import migrations_folder, version
from gateway.config.sources import describe_source, read_config
from gateway.errors import ConfigError, GatewayError

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
WRONG_CONFIG, INTERRUPTED = 2, 130
COPIES = {
    "objects": "sites: the files of all releases",
    "projects": "everything in PostgreSQL: projects, deployments, the token, and logs if they are kept there",
    "logs": "build logs, from or to ClickHouse",
}


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 success, 1 something is wrong, 2 the configuration is wrong."""
    arguments = _parser().parse_args(argv)
    if arguments.command == "version":
        print(f"buildspace {version()}")
        return 0
    logging.basicConfig(level=arguments.log_level.upper(), format=LOG_FORMAT, stream=sys.stderr)
    try:
        config = read_config(arguments.config)
        return _run(arguments, config)
    except ConfigError as error:
        print(error.sentence, file=sys.stderr)
        return WRONG_CONFIG
    except GatewayError as error:
        print(error.sentence, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the pipe is gone, as after `| head`: send what Python still flushes to /dev/null.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="buildspace", description="A git URL in, a served site out.")
    parser.add_argument("--version", action="version", version=f"buildspace {version()}")
    every = argparse.ArgumentParser(add_help=False)
    every.add_argument("--config", type=Path, metavar="PATH", help="the configuration (default: ./config.toml)")
    every.add_argument("--log-level", choices=["debug", "info", "warning", "error"], default="info")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("serve", parents=[every], help="serve until Ctrl-C")
    commands.add_parser("migrate", parents=[every], help="apply pending migrations to the database")
    commands.add_parser("doctor", parents=[every], help="check every engine and say how to fix what is wrong")
    token = commands.add_parser("token", help="the access token")
    actions = token.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("rotate", parents=[every], help="make a new token and revoke the old one")
    kept = commands.add_parser("secrets", help="the key that encrypts variables and other secrets")
    kept_actions = kept.add_subparsers(dest="action", required=True, metavar="ACTION")
    kept_actions.add_parser("rotate", parents=[every], help="replace the key, also while gateways run")
    letters = commands.add_parser("dead-letters", help="Kafka records that could not be stored")
    letter_actions = letters.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = letter_actions.add_parser("show", parents=[every], help="show the newest ones without consuming them")
    show.add_argument("--limit", type=int, default=50, metavar="N", help="how many to show at most (default: 50)")
    letter_actions.add_parser("replay", parents=[every], help="put each record back into the topic once")
    copy = commands.add_parser("copy", help="move to other engines: copy the data of the old ones")
    kinds = copy.add_subparsers(dest="action", required=True, metavar="WHAT")
    for kind, words in COPIES.items():
        which = kinds.add_parser(kind, parents=[every], help=words)
        which.add_argument(
            "--from",
            dest="old",
            type=Path,
            required=True,
            metavar="PATH",
            help="the configuration file of the old engines",
        )
    commands.add_parser("version", help="print the version")
    return parser


def _run(arguments: argparse.Namespace, config: Config) -> int:
    if arguments.command in ("serve", "doctor"):
        _say(f"Configuration: {describe_source(arguments.config)}")
    if arguments.command == "serve":
        import uvloop

        from gateway.app import serve

        uvloop.run(serve(config, say=_say))
        return 0
    _treat_like_ctrl_c(signal.SIGTERM, signal.SIGHUP)
    if arguments.command == "doctor":
        from gateway.commands.doctor import examine

        return asyncio.run(examine(config, say=_say))
    if arguments.command == "migrate":
        return asyncio.run(_migrate(config))
    if arguments.command == "dead-letters":
        return asyncio.run(_dead_letters(arguments, config))
    if arguments.command == "copy":
        # The source is described by that file alone: environment variables describe the target.
        return asyncio.run(_copy(arguments.action, load_config(arguments.old, {}), config))
    if arguments.command == "secrets":
        return asyncio.run(_rotate_secrets(config))
    return asyncio.run(_rotate(config))


async def _migrate(config: Config) -> int:
    from gateway.engines.databases import reach_database
    from gateway.engines.opening import migrate_logs
    from gateway.engines.postgres.postgres_migrations import migrate

    async with reach_database(config) as database:
        applied = await migrate(database, migrations_folder())
        applied += await migrate_logs(config, database)
    for name in applied:
        print(f"Applied {name}")
    print("The database is up to date." if not applied else f"Applied {len(applied)} migrations.")
    return 0


async def _dead_letters(arguments: argparse.Namespace, config: Config) -> int:
    from gateway.engines.kafka.dead_letter_desk import DeadLetterDesk

    desk = DeadLetterDesk(config.kafka, _say)
    await (desk.replay() if arguments.action == "replay" else desk.show(max(1, arguments.limit)))
    return 0


async def _copy(what: str, old: Config, new: Config) -> int:
    from gateway.commands.copying.logs import copy_logs
    from gateway.commands.copying.objects import copy_objects
    from gateway.commands.copying.projects import copy_projects
    from gateway.commands.copying.source import check_source

    copies = {"objects": copy_objects, "projects": copy_projects, "logs": copy_logs}
    await asyncio.to_thread(check_source, what, old)
    await copies[what](old, new, _tell)
    return 0


async def _rotate(config: Config) -> int:
    if config.auth.token:
        raise ConfigError("The token is set by auth.token: change it there.")
    from gateway.access.guard import Access
    from gateway.engines.databases import reach_database
    from gateway.engines.postgres.postgres_migrations import migrate
    from gateway.stores.installation import InstallationStore

    async with reach_database(config) as database:
        await migrate(database, migrations_folder())
        token = await Access(config.api, InstallationStore(database), config.auth.token).rotate()
    print(f"Access token: {token}")
    print("It is not shown again. The old token and all sessions are revoked.")
    return 0


async def _rotate_secrets(config: Config) -> int:
    from gateway.engines.databases import reach_database
    from gateway.engines.postgres.postgres_migrations import migrate
    from gateway.secrets.kms import open_kms
    from gateway.secrets.ring import Ring
    from gateway.secrets.rotation import rotate
    from gateway.stores.data_keys import DataKeyStore

    async with reach_database(config) as database, open_kms(config.secrets) as kms:
        await migrate(database, migrations_folder())
        await rotate(DataKeyStore(database), Ring(config.data_directory, config.secrets.key, kms), _say)
    return 0


def _treat_like_ctrl_c(*numbers: signal.Signals) -> None:
    """Handles SIGTERM and SIGHUP like Ctrl-C, so that a command stops the processes that it started."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # scripts start background commands with Ctrl-C ignored
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: os.kill(os.getpid(), signal.SIGINT))


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _say(text: str) -> None:
    print(text, flush=True)
