"""S3 and stores like it: a client with bounded patience, errors that say what to do next, and a verified upload.

Credentials are boto3's own (environment, profile, role of the machine), or those of an Airflow connection that the
environment holds as AIRFLOW_CONN_<NAME>. They never come from params, and no message shows them.
"""

import base64
import hashlib
import json
import mimetypes
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from photoqual.errors import ConfigError, SourceError

CONNECT_SECONDS, READ_SECONDS = 10.0, 30.0
ATTEMPTS = 4
"""Times that a request is sent in all, with growing pauses between."""
MULTIPART_ABOVE, PART = 16 << 20, 8 << 20
"""Bytes above which an object is sent in parts, and of a part."""
_WRONG_KEYS = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidToken",
    "TokenRefreshRequired",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
}
_OTHER_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"}
_DENIED = {"AccessDenied", "AllAccessDisabled", "AccountProblem", "403"}
_SKEWED = {"RequestTimeTooSkewed", "RequestExpired"}
FATAL = _WRONG_KEYS | _OTHER_REGION | _SKEWED | {"NoSuchBucket"}
"""Codes of answers that every further request would get too."""


def client(endpoint_url: str | None, region: str | None, connection: str | None, *, connections: int = 16) -> Any:
    """Return a boto3 client for S3 that keeps up to `connections` open. What is given here goes before the connection.

    Raise ConfigError for a connection that is missing or cannot be read, or an endpoint that is no address.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    named = airflow_connection(connection, os.environ) if connection else {}
    endpoint_url = endpoint_url or named.pop("endpoint_url", None)
    region = region or named.pop("region_name", None)
    session_options = {name: value for name, value in named.items() if name not in ("endpoint_url", "region_name")}
    own = endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    try:
        session = boto3.Session(region_name=region, **session_options)
        return session.client(
            "s3",
            endpoint_url=endpoint_url,
            region_name=session.region_name or ("us-east-1" if own else None),
            config=Config(
                signature_version="s3v4",
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                max_pool_connections=connections,
                retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
                request_checksum_calculation="when_required",
                s3={"addressing_style": "path"} if own else None,
            ),
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(
            f"No client for the store can be made: {str(error).rstrip('.')}.",
            next_step="Check `endpoint_url`, `region` and AWS_PROFILE.",
        ) from None


def airflow_connection(name: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return keys, region, endpoint and profile of the Airflow connection `name`, those that it states.

    It is read from AIRFLOW_CONN_<NAME>, an address (`aws://KEY:SECRET@/?region_name=…`) or JSON. Raise ConfigError,
    which never shows what the variable holds.
    """
    variable = f"AIRFLOW_CONN_{name.upper()}"
    written = environment.get(variable, "").strip()
    if not written:
        raise ConfigError(
            f"The environment has no {variable}.",
            next_step=f"Set it (aws://KEY:SECRET@/?region_name=…, or JSON) where the refresh runs, or remove `connection: {name}`.",
        )
    try:
        login, password, extra = _from_json(written) if written.startswith("{") else _from_address(written)
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise ConfigError(
            f"{variable} is not a connection as Airflow writes it.",
            next_step="In the form of an address, special characters of the secret have to be quoted (/ is %2F); or use JSON.",
        ) from None
    if extra.get("role_arn"):
        raise ConfigError(
            f"{variable} asks to take on a role, which is not done here.",
            next_step="Describe the role in a profile of ~/.aws/config and name it in AWS_PROFILE, without `connection`.",
        )
    service = extra.get("service_config")
    s3 = service.get("s3") if isinstance(service, dict) else None
    found = {
        "aws_access_key_id": login or extra.get("aws_access_key_id"),
        "aws_secret_access_key": password or extra.get("aws_secret_access_key"),
        "aws_session_token": extra.get("aws_session_token"),
        "region_name": extra.get("region_name"),
        "profile_name": extra.get("profile_name"),
        "endpoint_url": (s3.get("endpoint_url") if isinstance(s3, dict) else None) or extra.get("endpoint_url"),
    }
    return {option: str(value) for option, value in found.items() if value}


def _from_json(written: str) -> tuple[str | None, str | None, dict[str, Any]]:
    values = json.loads(written)
    extra = values.get("extra") or {}
    extra = json.loads(extra) if isinstance(extra, str) else extra
    return values.get("login"), values.get("password"), dict(extra)


def _from_address(written: str) -> tuple[str | None, str | None, dict[str, Any]]:
    parts = urlsplit(written)
    if not parts.scheme or (parts.netloc and "@" not in parts.netloc):
        raise ValueError("a secret that is not quoted ends the address early")
    extra: dict[str, Any] = dict(parse_qsl(parts.query, keep_blank_values=True))
    extra |= json.loads(extra.pop("__extra__", "{}"))
    return (
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
        extra,
    )


def failures() -> tuple[type[Exception], ...]:
    """Return what a request may raise, for `problem` to explain."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    return BotoCoreError, ClientError, ResponseParserError


def problem(error: Exception, client: Any, bucket: str) -> SourceError:
    """Return what a failed request to `bucket` means, and what to do about it. Keys and signed addresses stay out of it."""
    from botocore import exceptions
    from botocore.parsers import ResponseParserError

    where = getattr(getattr(client, "meta", None), "endpoint_url", "the store")
    if isinstance(error, exceptions.ClientError):
        said = error.response.get("Error", {})
        return refused(str(said.get("Code", "")), str(said.get("Message", "")), where, bucket)
    kind = type(error).__name__
    if isinstance(error, exceptions.SSLError):
        message, step = f"{where} has no certificate that is trusted", "Name its authority's file in AWS_CA_BUNDLE."
    elif isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError):
        message = f"{where} cannot be reached ({kind})"
        step = "Check `endpoint_url` and that the store runs; then run the refresh again, what was fetched is kept."
    elif isinstance(error, exceptions.ParamValidationError):
        message, step = f"{bucket!r} is not a bucket's name, or a key is not a key", "Correct `bucket` in params.yaml."
    elif isinstance(error, ResponseParserError):
        message, step = f"{where} does not answer as an S3 store", "Correct `endpoint_url`: the address of its S3 API."
    elif "Credential" in kind or "Profile" in kind or "Token" in kind or "SSO" in kind:
        message = f"There are no credentials for {where} ({kind})"
        step = (
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, where the refresh runs; or name an Airflow "
            "connection in `connection`. They do not belong into params.yaml."
        )
    else:
        message, step = f"{where} failed ({kind})", "Run the refresh again; what was fetched is kept."
    return SourceError(f"{message}.", next_step=step, bucket=bucket, endpoint=where)


def refused(code: str, said: str, where: str, bucket: str) -> SourceError:
    """Return what an answer with the error `code` means."""
    if code == "NoSuchBucket":
        message, step = f"There is no bucket {bucket} at {where}", "Correct `bucket` and `endpoint_url` in params.yaml."
    elif code in _WRONG_KEYS:
        message = f"{where} does not accept the credentials ({code})"
        step = "Renew the keys in the environment, the profile or the Airflow connection; check that they are of this store."
    elif code in _DENIED:
        message = f"The credentials do not give the right to bucket {bucket} at {where}"
        step = "Ask for s3:ListBucket and s3:GetObject (for labels from tags s3:GetObjectTagging, for a mirror s3:PutObject)."
    elif code in _OTHER_REGION:
        message, step = (
            f"Bucket {bucket} lies in another region ({code})",
            "Set `region` in params.yaml to the bucket's.",
        )
    elif code in _SKEWED:
        message, step = f"{where} finds that this machine's clock is wrong", "Set the clock."
    elif code.isdigit() or not code:
        message = f"{where} does not answer as an S3 store (status {code or 'unclear'})"
        step = "Correct `endpoint_url`: the address of its S3 API."
    else:
        message, step = f"{where} answered {code}: {said[:200]}", "Run the refresh again; what was fetched is kept."
    return SourceError(f"{message}.", next_step=step, bucket=bucket, endpoint=where, code=code)


def put(client: Any, bucket: str, key: str, data: bytes, sha256: str) -> bool:
    """Store `data` as `key`; return whether it was sent: an object that holds it already is left as it is.

    The store compares what arrives with its SHA-256, in parts above 16 MiB, and has to confirm that. `sha256` (hex) is
    kept with the object. Raise SourceError when `data` is not what `sha256` says, or the store does not confirm it.
    """
    if hashlib.sha256(data).hexdigest() != sha256:
        raise SourceError(f"The bytes for {key} are not those of their checksum.", next_step="Fetch the photo again.")
    kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
    place = {"Bucket": bucket, "Key": key}
    facts = {"ContentType": kind, "Metadata": {"sha256": sha256}}
    try:
        if _holds(client, place, data, sha256):
            return False
        if len(data) > MULTIPART_ABOVE:
            confirmed = _put_parts(client, place, facts, data) and _holds(client, place, data, sha256)
        else:
            checksum = _base64(bytes.fromhex(sha256))
            confirmed = _confirms(client.put_object(**place, **facts, Body=data, ChecksumSHA256=checksum), data)
    except failures() as error:
        raise problem(error, client, bucket) from None
    if not confirmed:
        raise SourceError(
            f"The store does not confirm that {key} in bucket {bucket} arrived whole.",
            next_step="Run the refresh again; if it stays so, the store keeps no checksums and cannot be a mirror.",
        )
    return True


def _holds(client: Any, place: dict[str, str], data: bytes, sha256: str) -> bool:
    """Tell whether the object is there with these very bytes. Without the right to know it counts as not there."""
    from botocore.exceptions import ClientError

    try:
        found = client.head_object(**place, ChecksumMode="ENABLED")
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in ("404", "NoSuchKey", "403"):
            return False
        raise
    same = found.get("Metadata", {}).get("sha256") == sha256 or found.get("ChecksumSHA256") == _base64(
        bytes.fromhex(sha256)
    )
    return same and found["ContentLength"] == len(data)


def _put_parts(client: Any, place: dict[str, str], facts: dict[str, Any], data: bytes) -> bool:
    """Send `data` in parts; nothing of them stays when one fails. Return whether each was confirmed."""
    upload = {
        **place,
        "UploadId": client.create_multipart_upload(**place, **facts, ChecksumAlgorithm="SHA256")["UploadId"],
    }
    parts: list[dict[str, Any]] = []
    try:
        for number, start in enumerate(range(0, len(data), PART), start=1):
            part = data[start : start + PART]
            checksum = _base64(hashlib.sha256(part).digest())
            answer = client.upload_part(**upload, PartNumber=number, Body=part, ChecksumSHA256=checksum)
            if not _confirms(answer, part):
                client.abort_multipart_upload(**upload)
                return False
            parts.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": checksum})
        client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    except BaseException:
        client.abort_multipart_upload(**upload)
        raise
    return True


def _confirms(answer: dict[str, Any], data: bytes) -> bool:
    """Tell whether the store says that it got `data`: by its SHA-256, or by its MD5 as the ETag."""
    if "ChecksumSHA256" in answer:
        return bool(answer["ChecksumSHA256"] == _base64(hashlib.sha256(data).digest()))
    return bool(answer.get("ETag", "").strip('"') == hashlib.md5(data, usedforsecurity=False).hexdigest())


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
