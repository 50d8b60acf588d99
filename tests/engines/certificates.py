"""Certificates for servers that speak TLS in tests: an authority of its own in each folder."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

_KEY = ("-newkey", "rsa:2048", "-nodes")


@dataclasses.dataclass(frozen=True, slots=True)
class Certificates:
    ca_file: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path, names: str = "DNS:localhost") -> Certificates:
    """A new authority, and a server's certificate from it for these names."""
    folder.mkdir(parents=True)
    (folder / "names").write_text(f"subjectAltName={names}\n")
    _openssl("req", "-x509", *_KEY, "-days", "2", "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.crt",
             "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign", cwd=folder)  # fmt: skip
    _openssl("req", *_KEY, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr", cwd=folder)
    _openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
             "-days", "2", "-extfile", "names", "-out", "server.crt", cwd=folder)  # fmt: skip
    return Certificates(folder / "ca.crt", folder / "server.crt", folder / "server.key")


def _openssl(*arguments: str, cwd: Path) -> None:
    done = subprocess.run(["openssl", *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-1500:]
