"""Serves the sites: from the Host to the live release, from the release to the client. It moves bytes, `sites` decides."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping

from aiohttp import web

from gateway.errors import Invalid, NotFound, Unavailable
from gateway.models import SitePointer, Status
from gateway.roles import ObjectStore
from gateway.sites import pages
from gateway.sites.answers import Answer, answer_with, decide, not_allowed, refuse
from gateway.sites.cache import MAX_BLOB_BYTES, BlobCache
from gateway.sites.keys import blob_key
from gateway.sites.plain import PlainSites, represent_object
from gateway.sites.pointers import SitePointers
from gateway.sites.releases import Releases
from gateway.sites.requests import METHODS, SiteRequest, read_request
from gateway.sites.streams import StoredBytes
from gateway.sites.sending import Reply, send

log = logging.getLogger(__name__)
