"""A release as the bytes of one stored object, and back."""

from __future__ import annotations

import datetime
import json
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from gateway.errors import Invalid
from gateway.models.release import Blob, HtmlHandling, Release, ReleaseFile
from gateway.sites.paths import check_file_path

# A feature gets a name here if an older gateway would serve such a release wrongly. Readers refuse only releases with
# unknown features, so a release names only the features that it needs.
FEATURES: dict[str, Callable[[Release], bool]] = {}
CODINGS = ("br", "gzip")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_NO_ENCODINGS: Mapping[str, Blob] = {}


class UnknownFeatures(ValueError):
    """A newer gateway wrote this release, and it needs a feature that this gateway does not have."""


def encode_release(release: Release) -> bytes:
    """Compact JSON; `decode_release` gives an equal release."""
    fields = {
        "version": 1,  # gateways from before features accept only this number
        "features": [name for name, is_needed in FEATURES.items() if is_needed(release)],
        "project": str(release.project_id),
        "deployment": str(release.deployment_id),
        "number": release.number,
        "publishedAt": release.published_at.isoformat(),
        "framework": release.framework,
        "isSinglePage": release.is_single_page,
        "htmlHandling": release.html_handling,
        "hashedFolders": release.hashed_folders,
        "files": {path: _encode_file(file) for path, file in release.files.items()},
    }
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


def decode_release(body: bytes) -> Release:
    """Raises UnknownFeatures, and ValueError for any other bytes that `encode_release` did not write."""
    try:
        fields = json.loads(body)
        _check_features(fields)
        return _to_release(fields)
    except (TypeError, KeyError, AttributeError, RecursionError, UnicodeError, Invalid) as error:
        raise ValueError(f"This is not a release: {error}") from error


def check_blob(sha256: str, size: int) -> Blob:
    """Raises Invalid unless it is a lower-case sha256 and a size."""
    if not isinstance(sha256, str) or not _SHA256.match(sha256):
        raise Invalid(f"{sha256!r:.80} is not a sha256: 64 hexadecimal digits in lower case.")
    if type(size) is not int or size < 0:
        raise Invalid(f"{size!r:.80} is not a size in bytes.")
    return Blob(sha256, size)


def _check_features(fields: Mapping[str, Any]) -> None:
    if unknown := [name for name in fields.get("features", []) if name not in FEATURES]:
        raise UnknownFeatures(
            f"The release of deployment {uuid.UUID(fields['deployment'])} needs {', '.join(map(repr, unknown))}, which"
            " this gateway does not know: upgrade the gateway, or promote an earlier deployment."
        )


def _encode_file(file: ReleaseFile) -> list[Any]:
    encodings = {coding: [blob.sha256, blob.size] for coding, blob in file.encodings.items()}
    return [file.blob.sha256, file.blob.size, *([encodings] if encodings else [])]


def _to_release(fields: Mapping[str, Any]) -> Release:
    published_at = datetime.datetime.fromisoformat(fields["publishedAt"])
    if published_at.tzinfo is None:
        raise Invalid("The time has no zone.")
    return Release(
        project_id=uuid.UUID(fields["project"]),
        deployment_id=uuid.UUID(fields["deployment"]),
        number=_checked(fields["number"], int),
        published_at=published_at,
        files={check_file_path(path): _to_file(file) for path, file in fields["files"].items()},
        framework=_checked(fields["framework"], str | None),
        is_single_page=_checked(fields["isSinglePage"], bool),
        html_handling=HtmlHandling(fields["htmlHandling"]),
        hashed_folders=tuple(check_file_path(folder) for folder in fields["hashedFolders"]),
    )


def _to_file(found: list[Any]) -> ReleaseFile:
    sha256, size, *more = found
    if not more:
        return ReleaseFile(check_blob(sha256, size), _NO_ENCODINGS)
    encodings = {_one_of(CODINGS, coding): check_blob(*blob) for coding, blob in more[0].items()}
    return ReleaseFile(check_blob(sha256, size), encodings)


def _checked(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind):
        raise Invalid(f"{value!r:.80} is not what is expected there.")
    return value


def _one_of(words: tuple[str, ...], value: Any) -> str:
    if value not in words:
        raise Invalid(f"{value!r:.80} is none of {', '.join(words)}.")
    return str(value)
