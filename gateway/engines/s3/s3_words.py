"""Turns the errors of S3 and of the connection to it into our words."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from botocore import exceptions as botocore

from gateway.config import S3
from gateway.errors import Conflict, GatewayError, NotFound, Unavailable

SENTENCES = {
    "NoSuchBucket": "{where} has no bucket '{bucket}': make it, or correct s3.bucket (S3_BUCKET).",
    "InvalidBucketName": "'{bucket}' cannot be the name of a bucket: correct s3.bucket (S3_BUCKET).",
    "AccessDenied": "{where} denies access to the bucket '{bucket}': allow these keys s3:ListBucket on it, and"
    " s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on what is in it.",
    "InvalidAccessKeyId": "{where} does not know the access key: correct s3.access_key_id (ACCESS_KEY_ID).",
    "SignatureDoesNotMatch": "{where} refuses the signature: s3.secret_access_key (SECRET_ACCESS_KEY_ID) is not the one"
    " that belongs to s3.access_key_id.",
    "RequestTimeTooSkewed": "The clock of this machine and that of {name} differ by more than 15 minutes:"
    " let NTP set it.",
    "ExpiredToken": "{where} says that the session keys have expired: give long-lived ones, or a role that renews"
    " them.",
    "AuthorizationHeaderMalformed": "The bucket '{bucket}' is not in the region {region}: correct s3.region"
    " (S3_REGION){hint}.",
    "SlowDown": "{where} is overloaded and asks for fewer requests.",
    "InsufficientStorage": "{where} is full: the object was not stored.",
    "BadDigest": "Bytes changed on their way to {name}: they were not stored.",
    "MethodNotAllowed": "{where} does not look like S3: correct s3.endpoint.",
}
SAME_AS = {
    "AllAccessDisabled": "AccessDenied",
    "AccountProblem": "AccessDenied",
    "UnauthorizedAccess": "AccessDenied",
    "XAdminUserNotFound": "InvalidAccessKeyId",
    "InvalidToken": "ExpiredToken",
    "TokenRefreshRequired": "ExpiredToken",
    "RequestExpired": "RequestTimeTooSkewed",
    "PermanentRedirect": "AuthorizationHeaderMalformed",
    "TemporaryRedirect": "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException": "AuthorizationHeaderMalformed",
    "IncorrectEndpoint": "AuthorizationHeaderMalformed",
    "301": "AuthorizationHeaderMalformed",
    "307": "AuthorizationHeaderMalformed",
    "ServiceUnavailable": "SlowDown",
    "Throttling": "SlowDown",
    "RequestLimitExceeded": "SlowDown",
    "503": "SlowDown",
    "QuotaExceeded": "InsufficientStorage",
    "XMinioStorageFull": "InsufficientStorage",
    "507": "InsufficientStorage",
    "XAmzContentSHA256Mismatch": "BadDigest",
    "405": "MethodNotAllowed",
}
ABSENT = frozenset({"NoSuchKey", "404"})
READING = frozenset({"get_object", "head_object", "copy_object"})
OCCUPIED = frozenset(
    {
        "ObjectParentIsFile",
        "ExistingObjectIsDirectory",
        "XMinioParentIsObject",
        "XMinioObjectExistsAsDirectory",
    }
)
"""From stores that keep objects as files, which cannot hold a key that is also a folder of other keys."""
NO_TLS = ("wrong version number", "record layer failure", "unexpected eof", "http request")
"""OpenSSL's messages for an answer without TLS."""
_REGION = re.compile(r"expecting '([a-z0-9-]{1,40})'")


class Unexplained(Unavailable):
    """An error without a reason, as every error answer to HEAD is."""


class NoSuchRange(GatewayError):
    """The range begins at the end of the object or after it."""


def name_of(config: S3) -> str:
    """The store in words, for the middle of a sentence."""
    if not config.endpoint:
        return "Amazon S3"
    parts = urlsplit(config.endpoint)
    return f"the object store at {parts.hostname}{f':{parts.port}' if parts.port else ''}"


def where(config: S3) -> str:
    """The store in words, for the beginning of a sentence."""
    name = name_of(config)
    return name[0].upper() + name[1:]


def explain(error: Exception, operation: str, config: S3) -> GatewayError:
    """The error of a call, as NotFound, Conflict, NoSuchRange or Unavailable."""
    if isinstance(error, botocore.ClientError):
        return _explain_answer(error, operation, config)
    return Unavailable(_explain_silence(error, config))


def _explain_answer(error: botocore.ClientError, operation: str, config: S3) -> GatewayError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code in ABSENT and operation in READING:
        return NotFound("There is no such object.")
    if code in ("InvalidRange", "416"):
        return NoSuchRange("The range is outside of the object.")
    if code in OCCUPIED:
        return Conflict("A key cannot be both an object and the folder of other objects.")
    sentence = SENTENCES.get(SAME_AS.get(code, code))
    if sentence is not None:
        known = {
            "where": where(config),
            "name": name_of(config),
            "bucket": config.bucket,
            "region": config.region,
            "hint": _hint(error),
        }
        return Unavailable(sentence.format(**known))
    said = code if code.isalnum() and len(code) <= 60 else "an unknown error"
    kind = Unexplained if code.isdigit() else Unavailable
    return kind(f"{where(config)} answered {said} to {operation}: check s3.endpoint, s3.bucket and the keys.")


def _hint(error: botocore.ClientError) -> str:
    """The region that the answer names as the right one."""
    said = error.response.get("Error", {})
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    named = _REGION.search(str(said.get("Message", "")))
    region = str(headers.get("x-amz-bucket-region") or said.get("Region") or (named[1] if named else ""))
    return f" to {region}" if re.fullmatch(r"[a-z0-9-]{1,40}", region) else ""


def _explain_silence(error: Exception, config: S3) -> str:
    match error:
        case botocore.NoCredentialsError() | botocore.PartialCredentialsError():
            return NO_KEYS
        case botocore.CredentialRetrievalError() | botocore.MetadataRetrievalError():
            return "The keys of the role for S3 cannot be fetched: is the endpoint of its credentials reachable?"
        case botocore.SSLError() if any(words in str(error).lower() for words in NO_TLS):
            return f"{where(config)} does not speak TLS: write http:// in s3.endpoint, or name its TLS port."
        case botocore.SSLError():
            return f"{where(config)} has a certificate that this machine does not trust: check s3.endpoint."
        case botocore.EndpointConnectionError() | botocore.ConnectTimeoutError():
            return f"{where(config)} cannot be reached: check s3.endpoint and the network."
        case TimeoutError() | botocore.ReadTimeoutError():
            return f"{where(config)} did not answer in time."
        case botocore.ParamValidationError():
            return SENTENCES["InvalidBucketName"].format(bucket=config.bucket)
        case botocore.ProfileNotFound() | botocore.ConfigParseError():
            return "The AWS configuration of this machine cannot be read: check AWS_PROFILE and ~/.aws."
        case RuntimeError():  # botocore's message for renewed keys that have already expired
            return "The keys of the role for S3 could not be renewed: check its session and the clock."
        case _:
            return f"The connection to {name_of(config)} broke off."


NO_KEYS = (
    "There are no keys for S3: set s3.access_key_id (ACCESS_KEY_ID) and s3.secret_access_key (SECRET_ACCESS_KEY_ID),"
    " or give this task or machine a role."
)
