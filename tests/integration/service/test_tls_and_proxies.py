"""Served by TLS, and behind a proxy: whom the service believes."""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import trustme

from entrypoints.cli import main as command_line
from tests.serving import Service, running

KEY = "a-key-to-read"
LIMIT = 4


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trust(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(scope="module")
def settings(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("certificate")
    issued = authority.issue_cert("127.0.0.1", "localhost")
    issued.private_key_pem.write_to_path(directory / "key.pem")
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(directory / "certificate.pem", append=number > 0)
    return {
        "REPOSITORY__BACKEND": "memory",
        "DETECTOR__RUNTIME": "none",
        "HTTP__TLS_CERTIFICATE": str(directory / "certificate.pem"),
        "HTTP__TLS_KEY": str(directory / "key.pem"),
        "HTTP__HSTS_SECONDS": "86400",
        "AUTH__KEYS": f"read:{KEY}",
        "LIMITS__PER_ADDRESS": f"{LIMIT}/hour",
    }


@pytest.fixture(scope="module")
def service(
    settings: dict[str, str], trust: ssl.SSLContext, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Behind a proxy on this machine, and one on 10.0.0.0/8 before that."""
    proxies = {"HTTP__TRUSTED_PROXIES": "127.0.0.1,10.0.0.0/8"}
    with running(tmp_path_factory.mktemp("service"), settings | proxies, trust=trust) as service:
        yield service


@pytest.fixture
def client(service: Service, trust: ssl.SSLContext) -> Iterator[httpx.Client]:
    with service.client(verify=trust) as client:
        yield client


def statuses(client: httpx.Client, *forwarded: str) -> list[int]:
    """Of one request after the other, each forwarded for these addresses."""
    return [client.get("/session", headers={"x-forwarded-for": value}).status_code for value in forwarded]


def test_it_serves_by_tls_alone(service: Service, client: httpx.Client) -> None:
    assert service.url.startswith("https://127.0.0.1:")
    live = client.get("/health/live")
    assert live.status_code == 200
    assert live.headers["strict-transport-security"] == "max-age=86400"
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{service.url}/health/live")
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{service.url.replace('https', 'http')}/health/live")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_it_speaks_the_versions_that_are_safe(service: Service, authority: trustme.CA, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.minimum_version = context.maximum_version = version
    assert httpx.get(f"{service.url}/health/live", verify=context).status_code == 200


def test_the_pages_cookie_is_for_tls_alone(client: httpx.Client) -> None:
    headers = {"authorization": f"Bearer {KEY}", "x-forwarded-for": "192.0.2.1"}
    cookie = client.post("/session", headers=headers).headers["set-cookie"]
    assert "; Secure" in cookie
    # A trusted proxy that ends TLS itself says what the caller used; one that was called by HTTP says that too.
    cookie = client.post("/session", headers={**headers, "x-forwarded-proto": "http"}).headers["set-cookie"]
    assert "; Secure" not in cookie


def test_callers_behind_trusted_proxies_are_counted_each(client: httpx.Client) -> None:
    assert statuses(client, *["192.0.2.2"] * (LIMIT + 1)) == [200] * LIMIT + [429]
    assert statuses(client, "192.0.2.3", "192.0.2.2, 10.1.2.3") == [200, 429]


def test_what_a_caller_says_of_itself_does_not_count(client: httpx.Client) -> None:
    """A proxy appends the address that it sees: only what stands behind the last untrusted one is believed."""
    forged = [f"198.51.100.{number}, 192.0.2.4, 10.1.2.3" for number in range(LIMIT + 1)]
    assert statuses(client, *forged) == [200] * LIMIT + [429]


def test_without_a_trusted_proxy_nobody_is_believed(
    settings: dict[str, str], trust: ssl.SSLContext, tmp_path: Path
) -> None:
    with (
        running(tmp_path, settings | {"HTTP__TRUSTED_PROXIES": ""}, trust=trust) as service,
        service.client(verify=trust) as client,
    ):
        headers = {"authorization": f"Bearer {KEY}", "x-forwarded-proto": "http"}
        assert "; Secure" in client.post("/session", headers=headers).headers["set-cookie"]
        forged = [f"192.0.2.{number}" for number in range(LIMIT)]
        assert statuses(client, *forged) == [200] * (LIMIT - 1) + [429]


Refused = Callable[[str, Path | None], str]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Refused:
    """What `serve` tells of a certificate and a key with which it does not start."""
    monkeypatch.chdir(tmp_path)

    def serve(certificate: str, key: Path | None) -> str:
        monkeypatch.setenv("LOOKALIKE_HTTP__TLS_CERTIFICATE", certificate)
        if key is not None:
            monkeypatch.setenv("LOOKALIKE_HTTP__TLS_KEY", str(key))
        with pytest.raises(SystemExit) as ended:
            command_line.main(["serve", "--port", "0"])
        assert ended.value.code == 2
        return capsys.readouterr().err

    return serve


@pytest.mark.parametrize("damage", ["another's key", "encrypted key", "text", "no key"])
def test_a_certificate_that_cannot_be_used_ends_the_start_in_one_line(
    settings: dict[str, str], authority: trustme.CA, tmp_path: Path, refused: Refused, damage: str
) -> None:
    key = tmp_path / "key.pem"
    if damage == "another's key":
        authority.issue_cert("127.0.0.1").private_key_pem.write_to_path(key)
    elif damage == "encrypted key":
        key.write_bytes(_encrypted(Path(settings["HTTP__TLS_KEY"]).read_bytes()))
    else:
        key.write_text("text")
    told = refused(settings["HTTP__TLS_CERTIFICATE"], None if damage == "no key" else key)
    assert told.startswith("lookalike: LOOKALIKE_HTTP__TLS_CERTIFICATE")
    assert told.count("\n") == 1


def _encrypted(key: bytes) -> bytes:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - for this alone; trustme brings it

    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )
