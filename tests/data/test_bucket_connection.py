"""Keys of a store come from the environment or an Airflow connection in it, never from params, and are never shown."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import ValidationError

from photoqual.config import BucketSource
from photoqual.errors import ConfigError
from photoqual.sources import _s3

SECRET = "a/b+c:d@e%f"
KEYS = {"aws_access_key_id": "KEY", "aws_secret_access_key": SECRET}


def as_json(**values: Any) -> str:
    return json.dumps({"conn_type": "aws", "login": "KEY", "password": SECRET, **values})


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (f"aws://KEY:{quote(SECRET, safe='')}@/", KEYS),
        (
            f"aws://KEY:{quote(SECRET, safe='')}@/?region_name=eu-west-1&endpoint_url=http%3A%2F%2F127.0.0.1%3A8333",
            {**KEYS, "region_name": "eu-west-1", "endpoint_url": "http://127.0.0.1:8333"},
        ),
        (
            f"aws://KEY:{quote(SECRET, safe='')}@/?__extra__=" + quote('{"region_name": "eu-west-1"}'),
            {**KEYS, "region_name": "eu-west-1"},
        ),
        ("aws:///?region_name=eu-west-1&profile_name=mine", {"region_name": "eu-west-1", "profile_name": "mine"}),
        (as_json(), KEYS),
        (as_json(extra={"aws_session_token": "T"}), {**KEYS, "aws_session_token": "T"}),
        (as_json(extra='{"region_name": "us-east-2"}'), {**KEYS, "region_name": "us-east-2"}),
        (
            as_json(extra={"service_config": {"s3": {"endpoint_url": "http://s3"}}, "endpoint_url": "http://all"}),
            {**KEYS, "endpoint_url": "http://s3"},
        ),
        (json.dumps({"conn_type": "aws", "extra": KEYS}), KEYS),
        (json.dumps({"conn_type": "aws", "extra": ""}), {}),
    ],
)
def test_an_airflow_connection_is_read_in_both_forms(written: str, expected: dict[str, str]) -> None:
    assert _s3.airflow_connection("my_store", {"AIRFLOW_CONN_MY_STORE": written}) == expected


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (None, "no AIRFLOW_CONN_MY_STORE"),
        ("", "no AIRFLOW_CONN_MY_STORE"),
        (f"aws://KEY:{SECRET.replace('@', '')}@/", "not a connection.*have to be quoted"),
        (SECRET, "not a connection"),
        ("{" + SECRET, "not a connection"),
        (as_json(extra=[SECRET]), "not a connection"),
        (as_json(extra=SECRET), "not a connection"),
        (f"aws://KEY:x@/?__extra__={quote(SECRET)}", "not a connection"),
        (as_json(extra={"role_arn": "arn:aws:iam::1:role/x"}), "take on a role.*AWS_PROFILE"),
    ],
)
def test_a_wrong_connection_says_what_to_mend_and_shows_nothing(written: str | None, says: str) -> None:
    environment = {} if written is None else {"AIRFLOW_CONN_MY_STORE": written}
    with pytest.raises(ConfigError, match=says) as problem:
        _s3.airflow_connection("my_store", environment)
    assert problem.value.next_step
    assert SECRET not in str(problem.value)
    assert "KEY" not in problem.value.message


def test_params_go_before_the_connection_and_the_environment_serves_without_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_STORE", as_json(extra={"endpoint_url": "http://of-connection", "region_name": "r1"})
    )
    client = _s3.client(None, None, "store")
    assert (client.meta.endpoint_url, client.meta.region_name) == ("http://of-connection", "r1")
    client = _s3.client("http://of-params", "r2", "store")
    assert (client.meta.endpoint_url, client.meta.region_name) == ("http://of-params", "r2")
    for name, value in (("AWS_ACCESS_KEY_ID", "KEY"), ("AWS_SECRET_ACCESS_KEY", SECRET)):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://of-environment")
    assert _s3.client(None, None, None).meta.endpoint_url == "http://of-environment"


def test_a_profile_that_is_missing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "none-such")
    with pytest.raises(ConfigError, match=r"none-such.*AWS_PROFILE"):
        _s3.client(None, None, None)


@pytest.mark.parametrize(
    "endpoint", ["http://KEY:secret@store", "store:8333", "ftp://store", "http://store?key=1", "http://"]
)
def test_an_endpoint_with_a_password_or_without_an_address_is_refused_by_params(endpoint: str) -> None:
    with pytest.raises(ValidationError, match="endpoint_url"):
        BucketSource(bucket="photos", endpoint_url=endpoint)
    BucketSource(bucket="photos", endpoint_url="https://store.example.org:8333/s3")
