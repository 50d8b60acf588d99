"""The `buildspace` command."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from gateway.app import serve
from gateway.config import Config
from gateway.config_files import read_config
from gateway.databases import reach_database
from gateway.dead_letters import DeadLetterDesk
from gateway.doctor import examine
from gateway.entrance import Access
from gateway.errors import ConfigError, GatewayError
from gateway.migrations import migrate
from gateway.resources import migrations_folder
from gateway.routes.health import version
from gateway.stores.installation import InstallationStore

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
WRONG_CONFIG = 2


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 well, 1 something is wrong, 2 the configuration is."""
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
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="buildspace", description="A git URL in, a served site out.")
    parser.add_argument("--version", action="version", version=f"buildspace {version()}")
    every = argparse.ArgumentParser(add_help=False)
    every.add_argument("--config", type=Path, metavar="PATH", help="the configuration (default: ./config.toml)")
    every.add_argument("--log-level", choices=["debug", "info", "warning", "error"], default="info")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("serve", parents=[every], help="serve until Ctrl-C")
    commands.add_parser("migrate", parents=[every], help="bring the database to this version")
    commands.add_parser("doctor", parents=[every], help="check every engine, say what is wrong and what to do")
    token = commands.add_parser("token", help="the access token")
    actions = token.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("rotate", parents=[every], help="make a new one; the old one opens nothing any more")
    letters = commands.add_parser("dead-letters", help="log records in Kafka that could never be stored")
    letter_actions = letters.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = letter_actions.add_parser("show", parents=[every], help="show the newest; nothing is consumed")
    show.add_argument("--limit", type=int, default=50, metavar="N", help="at most so many (default: 50)")
    letter_actions.add_parser("replay", parents=[every], help="put each back into the topic, once")
    commands.add_parser("version", help="print the version")
    return parser


def _run(arguments: argparse.Namespace, config: Config) -> int:
    if arguments.command == "serve":
        uvloop.run(serve(config, say=_say))
        return 0
    if arguments.command == "doctor":
        return asyncio.run(examine(config, say=_say))
    if arguments.command == "migrate":
        return asyncio.run(_migrate(config))
    if arguments.command == "dead-letters":
        return asyncio.run(_dead_letters(arguments, config))
    return asyncio.run(_rotate(config))


async def _migrate(config: Config) -> int:
    async with reach_database(config) as database:
        applied = await migrate(database, migrations_folder())
    for name in applied:
        print(f"Applied {name}")
    print("The database is up to date." if not applied else f"Applied {len(applied)} migrations.")
    return 0


async def _dead_letters(arguments: argparse.Namespace, config: Config) -> int:
    desk = DeadLetterDesk(config.kafka, _say)
    await (desk.replay() if arguments.action == "replay" else desk.show(max(1, arguments.limit)))
    return 0


async def _rotate(config: Config) -> int:
    if config.auth.token:
        raise ConfigError("The token is set by auth.token: change it there.")
    async with reach_database(config) as database:
        await migrate(database, migrations_folder())
        token = await Access(config.api, InstallationStore(database), config.auth.token).rotate()
    print(f"Access token: {token}")
    print("It is not shown again. The old one, and all sessions, open nothing any more.")
    return 0


def _say(text: str) -> None:
    print(text, flush=True)
