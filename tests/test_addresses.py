import pytest

from slimgen.addresses import pieces, scrubbed, secret, shown, told

SECRET = {
    "http://u:p@ss@127.0.0.1:9": "http://127.0.0.1:9",
    "postgresql://u:pa/ss@nohost/db": "postgresql://nohost/db",
    "https://hunter2@host/path": "https://host/path",
    "https://host/path?access_token=hunter2": "https://host/path",
    "https://host/path#hunter2": "https://host/path",
    "https://user:hun%40ter2@host": "https://host",
    "http://user:hun?ter2@host/": "http://***",  # a password with a `?`, or a query with an `@`: nobody can tell
    "mysql+pymysql://user:hun#ter:2@host:3306/db": "mysql+pymysql://***",
    "s3://key:secret/with/slashes@bucket/images": "s3://bucket/images",
    "https://host/a.zip?X-Amz-Signature=hunter2&x=1": "https://host/a.zip",
}


@pytest.mark.parametrize("address", SECRET)
def test_no_user_password_or_token_of_an_address_is_shown(address) -> None:
    assert shown(address) == SECRET[address]
    for piece in pieces(address):
        assert len(piece) < 3 or piece not in shown(address)
    assert pieces(address)


@pytest.mark.parametrize(
    "address",
    [
        "sqlite:////home/me@work/what?/mlflow.db",
        "file:///a?b",
        "http://127.0.0.1:5000/mlflow",
        "runs",
        "data/a@b?c",
        "",
    ],
)
def test_an_address_without_secrets_is_shown_unchanged(address) -> None:
    assert shown(address) == address
    assert not pieces(address)


def test_a_query_with_a_token_is_a_secret_and_one_with_a_region_is_none() -> None:
    assert secret("https://host/a?sig=x")
    assert secret("s3://user@bucket/a")
    assert not secret("s3://bucket/images?region=eu&endpoint=minio")
    assert shown("s3://bucket/images?region=eu") == "s3://bucket/images"


def test_an_error_with_a_piece_of_a_password_is_shown_only_by_its_class() -> None:
    address = "postgresql://me:pa/ss@nohost/db"
    assert told(ValueError("could not translate host name 'ss@nohost'"), address) == "ValueError"
    assert told(ValueError("invalid literal for int(): 'pa'"), address) == "ValueError"
    assert told(ValueError("no such table"), "postgresql://9:8@nohost/db") == "ValueError: no such table"


def test_texts_are_scrubbed_of_addresses_and_of_secrets_in_the_environment(monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "hunter2hunter2")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:correct/horse@host/")
    text = "at http://other:pass@host/x?y=z: hunter2hunter2, horse, correct/horse"
    assert scrubbed(text) == "at http://host/x ***, ***, ***"
