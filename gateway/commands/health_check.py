"""`python -m gateway.commands.health_check`: asks the gateway of this machine whether it is alive. For containers.

Exit code 0 if it is. Imports very little, because it runs every few seconds.
"""

from __future__ import annotations

import http.client
import sys

from gateway.config import Api
from gateway.config.sources import read_config
from gateway.errors import ConfigError
from gateway.models.addresses import is_unspecified

TIMEOUT_SECONDS = 4.0


def main() -> int:
    try:
        api = read_config(None).api
    except ConfigError as error:
        print(error.sentence, file=sys.stderr)
        return 1
    return ask(reachable_host(api), api.port)


def reachable_host(api: Api) -> str:
    """An address at which this machine reaches its own API."""
    host = api.host[0]
    if not is_unspecified(host):
        return host
    return "::1" if ":" in host else "127.0.0.1"


def ask(host: str, port: int) -> int:
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        print(f"The gateway does not answer on {host} port {port}: {error}.", file=sys.stderr)
        return 1
    finally:
        connection.close()
    if status != 200:
        print(f"The gateway answers {status} on {host} port {port}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
