"""If-Match and the other preconditions: full answer, 304 or 412. https://www.rfc-editor.org/rfc/rfc9110#section-13"""

from __future__ import annotations

import datetime
import email.utils
import enum
import functools
import re
from collections.abc import Mapping

_TAG = re.compile(r'(W/)?("[^"\x00-\x20\x7f]*")')


class Verdict(enum.Enum):
    GO_ON = 200
    NOT_MODIFIED = 304
    FAILED = 412


def judge(headers: Mapping[str, str], etag: str | None, last_modified: datetime.datetime) -> Verdict:
    """In the order of the RFC. A malformed precondition is ignored."""
    if "if-match" in headers:
        if not _is_listed(headers["if-match"], etag, weakly=False):
            return Verdict.FAILED
    elif (limit := parse_date(headers.get("if-unmodified-since"))) and _seconds(last_modified) > limit:
        return Verdict.FAILED
    if "if-none-match" in headers:
        return Verdict.NOT_MODIFIED if _is_listed(headers["if-none-match"], etag, weakly=True) else Verdict.GO_ON
    # Equal, not later: after a rollback the release is older than the one that a client may have.
    if parse_date(headers.get("if-modified-since")) == _seconds(last_modified):
        return Verdict.NOT_MODIFIED
    return Verdict.GO_ON


def may_send_part(if_range: str | None, etag: str | None, last_modified: datetime.datetime) -> bool:
    """If-Range: whether the client's part belongs to exactly this representation. Weak tags never match."""
    if if_range is None:
        return True
    if '"' in if_range:
        return etag is not None and if_range.strip() == etag
    return parse_date(if_range) == _seconds(last_modified)


@functools.lru_cache(maxsize=1024)
def format_date(moment: datetime.datetime) -> str:
    return email.utils.format_datetime(moment.astimezone(datetime.UTC), usegmt=True)


def parse_date(text: str | None) -> datetime.datetime | None:
    """An HTTP date. None for anything else."""
    if not text or len(text) > 64:
        return None
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def _is_listed(header: str, etag: str | None, *, weakly: bool) -> bool:
    if header.strip() == "*":
        return True
    return etag is not None and any(tag == etag and (weakly or not weak) for weak, tag in _TAG.findall(header))


def _seconds(moment: datetime.datetime) -> datetime.datetime:
    return moment.replace(microsecond=0)
