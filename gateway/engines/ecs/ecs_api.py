"""Calls to Amazon ECS: paced, each with a time limit, errors as sentences. Knows nothing about builders."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
)
from botocore.parsers import ResponseParserError

from gateway import config
from gateway.errors import ConfigError, Unanswered, Unavailable

log = logging.getLogger(__name__)

CONNECT_SECONDS = 3.0
READ_SECONDS = 9.0
CONNECTIONS = 10
PAUSES_SECONDS = (0.5, 1.5)
"""How long to wait before a call is repeated. Short, because the callers repeat their work anyway."""
_NOT_SENT = (ConnectTimeoutError, CredentialRetrievalError, EndpointConnectionError, NoCredentialsError)
_THROTTLED = ("ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded")
_UNKNOWN_CALLER = (
    *("UnrecognizedClientException", "InvalidClientTokenId", "MissingAuthenticationToken", "IncompleteSignature"),
    *("InvalidSignatureException", "SignatureDoesNotMatch", "ExpiredTokenException", "ExpiredToken"),
)


class EcsRefusal(Exception):
    """ECS understood the call and refuses it. Holds its code, its message, and its other fields."""

    def __init__(self, code: str, message: str, details: Mapping[str, Any]) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message.rstrip(".")
        self.details = details


class EcsApi:
    """One client for the whole process, made by the first call, because finding credentials may take long."""

    def __init__(
        self,
        settings: config.Ecs,
        stack: contextlib.AsyncExitStack,
        *,
        pauses_seconds: Sequence[float] = PAUSES_SECONDS,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self.region = find_region(settings)
        self._settings = settings
        self._stack = stack
        self._pauses_seconds = tuple(pauses_seconds)
        self._read_seconds = read_seconds
        self._session: AioSession = get_session()
        self._opening = asyncio.Lock()
        self._client: Any = None

    async def call(self, operation: str, *, is_patient: bool = True, **request: Any) -> dict[str, Any]:
        """The answer. Repeats the same call if ECS is busy or did not answer, unless told to be impatient.

        Raises EcsRefusal, Unavailable, and Unanswered if one of the tries may have had an effect.
        """
        unanswered: Unanswered | None = None
        for pause in (*(self._pauses_seconds if is_patient else ()), None):
            try:
                return await self._call_once(operation, request)
            except Unavailable as error:
                unanswered = error if isinstance(error, Unanswered) else unanswered
                if pause is None:
                    raise unanswered or error from error.__cause__
                log.info("ecs %s is repeated: %s", operation, error.sentence)
                await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311 - spreads tries, no secret
        raise AssertionError("The last try has answered or raised.")

    async def _call_once(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            client = await self._opened()
            answer: dict[str, Any] = await getattr(client, operation)(**request)
        except ClientError as error:
            raise self._in_words(operation, error) from error
        except ParamValidationError as error:
            raise EcsRefusal("InvalidParameterException", " ".join(str(error).split()), {}) from error
        # RuntimeError: raised by botocore if a role gives expired keys.
        except (BotoCoreError, ResponseParserError, aiohttp.ClientError, OSError, RuntimeError) as error:
            kind = Unavailable if isinstance(error, _NOT_SENT) else Unanswered
            raise kind(
                f"{self._place} does not answer ({type(error).__name__})."
                " Check the network, ecs.region and ecs.endpoint."
            ) from error
        return answer

    async def _opened(self) -> Any:
        async with self._opening:
            if self._client is None:
                self._client = await self._stack.enter_async_context(await self._make_client())
            return self._client

    async def _make_client(self) -> Any:
        key_id, secret = self._settings.access_key_id, self._settings.secret_access_key.reveal()
        if not key_id and await self._session.get_credentials() is None:
            raise Unavailable(
                "There are no credentials for ECS: give the gateway a task role or an instance profile,"
                " or set ecs.access_key_id and ecs.secret_access_key."
            )
        return self._session.create_client(
            "ecs",
            region_name=self.region,
            endpoint_url=self._settings.endpoint or None,
            aws_access_key_id=key_id or None,
            aws_secret_access_key=secret or None,
            config=AioConfig(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=self._read_seconds,
                max_pool_connections=CONNECTIONS,
                retries={"mode": "standard", "total_max_attempts": 1},
            ),
        )

    def _in_words(self, operation: str, error: ClientError) -> EcsRefusal | Unavailable:
        said = error.response.get("Error", {})
        code, message = str(said.get("Code", "")).rpartition("#")[2], str(said.get("Message", ""))
        if code in _THROTTLED:
            return Unavailable(f"{self._place} is throttling calls ({code}: {message.rstrip('.')}).")
        if code in _UNKNOWN_CALLER:
            return Unavailable(
                f"{self._place} does not accept the gateway's credentials ({code})."
                " Check ecs.access_key_id and ecs.secret_access_key, or the role."
            )
        if code == "ServerException" or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
            return Unanswered(f"{self._place} failed in {operation} ({code}: {message.rstrip('.')}).")
        return EcsRefusal(code, message, error.response)

    @property
    def _place(self) -> str:
        return f"ECS at {self._settings.endpoint}" if self._settings.endpoint else f"ECS in {self.region}"


@contextlib.asynccontextmanager
async def open_ecs_api(settings: config.Ecs, **timing: Any) -> AsyncIterator[EcsApi]:
    """Makes no call yet. Raises ConfigError if the region is not known."""
    async with contextlib.AsyncExitStack() as stack:
        yield EcsApi(settings, stack, **timing)


def find_region(settings: config.Ecs) -> str:
    """The configured region, else that of the cluster's ARN. Raises ConfigError without either."""
    parts = settings.cluster.split(":")
    region = settings.region or (parts[3] if parts[0] == "arn" and len(parts) > 5 else "")
    if not region:
        raise ConfigError("ecs.region: name the region, such as eu-central-1, or set ecs.cluster to the cluster's ARN.")
    return region
