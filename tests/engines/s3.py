"""Real S3 servers for tests: moto, which comes with Python's packages, and versitygw, which checks signatures.

versitygw is built by scripts/engines/s3.sh. TEST_S3_ENDPOINT takes its place with a running
store, whose keys are TEST_S3_ACCESS_KEY_ID and TEST_S3_SECRET_ACCESS_KEY.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from gateway.config import S3, Secret
from tests.engines.child import Child, listens
from tests.engines.ports import free_ports
from tests.engines.programs import PROGRAMS, fail_without

VERSION = "v1.8.0"
VERSITYGW = PROGRAMS / f"versitygw-{VERSION}" / "versitygw"
VIRTUAL_DOMAIN = "s3.test"
ACCESS_KEY, SECRET_KEY = "buildspace-tests", "a-secret-for-the-tests"

S3_SERVERS = ["moto", "versitygw"]


class S3Server(Child):
    """Runs until `running_s3` is left. It may be taken away and come back; moto has then forgotten everything."""

    def __init__(self, argv: list[str], folder: Path, port: int, environment: dict[str, str]) -> None:
        super().__init__("The S3 server", folder / "s3.log")
        self.port = port
        self.endpoint = f"http://127.0.0.1:{port}"
        self.access_key, self.secret_key = ACCESS_KEY, SECRET_KEY
        self._argv = argv
        self._environment = {"PATH": os.environ["PATH"], **environment}
        self._numbers = itertools.count(1)

    def command(self) -> list[str]:
        return self._argv

    def options(self) -> dict[str, Any]:
        return {"env": self._environment}

    def answers(self) -> bool:
        return listens(self.port)

    def client(self) -> Any:
        """boto3's client, as any other tool would use it. To be closed."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )

    def make_bucket(self, name: str | None = None) -> S3:
        """The settings for a new, empty bucket."""
        bucket = name or f"bucket-{next(self._numbers)}-{uuid.uuid4().hex[:8]}"
        with contextlib.closing(self.client()) as client:
            client.create_bucket(Bucket=bucket)
        return self.settings(bucket)

    def settings(self, bucket: str, **others: Any) -> S3:
        return S3(
            bucket=bucket,
            endpoint=self.endpoint,
            access_key_id=self.access_key,
            secret_access_key=Secret(self.secret_key),
            **others,
        )


class RunningStore(S3Server):
    """A store that somebody else runs: it cannot be taken away."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.access_key = os.environ["TEST_S3_ACCESS_KEY_ID"]
        self.secret_key = os.environ["TEST_S3_SECRET_ACCESS_KEY"]
        self._numbers = itertools.count(1)

    def start(self) -> None:
        """It runs already."""

    def stop(self) -> None:
        """It is not ours to stop."""

    kill = stop


def environment_of(settings: S3) -> dict[str, str]:
    """The same for a gateway process."""
    return {
        "S3_BUCKET": settings.bucket,
        "S3_REGION": settings.region,
        "ACCESS_KEY_ID": settings.access_key_id,
        "SECRET_ACCESS_KEY_ID": settings.secret_access_key.reveal(),
        "BUILDSPACE_S3_ENDPOINT": settings.endpoint,
    }


@contextlib.contextmanager
def running_s3(name: str, folder: Path) -> Iterator[S3Server]:
    """The server of this name, below this folder."""
    server = _make(name, folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _make(name: str, folder: Path) -> S3Server:
    (port,) = free_ports(1)
    if name == "moto":
        argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        return S3Server(argv, folder, port, {})
    if endpoint := os.environ.get("TEST_S3_ENDPOINT"):
        return RunningStore(endpoint)
    if not VERSITYGW.exists():
        fail_without("There is no versitygw here. `sh scripts/engines/s3.sh` builds it.")
    for each in ("data", "sidecar"):
        (folder / each).mkdir()
    argv = [str(VERSITYGW), "--port", f"127.0.0.1:{port}", "--quiet", "--keep-alive"]
    argv += ["--virtual-domain", f"{VIRTUAL_DOMAIN}:{port}"]
    argv += ["posix", "--sidecar", str(folder / "sidecar"), str(folder / "data")]
    return S3Server(argv, folder, port, {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY})
