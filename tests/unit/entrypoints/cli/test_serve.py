import socket
from pathlib import Path

import pytest

from entrypoints.cli import main as command_line
from entrypoints.cli.serve import _address, _is_loopback

MEMORY = {"REPOSITORY__BACKEND": "memory", "DETECTOR__RUNTIME": "none"}


def test_a_port_in_use_is_told_before_anything_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOOKALIKE_DATA_DIR", str(tmp_path / "data"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            command_line.main(["serve", "--port", str(port)])

    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"lookalike: Cannot serve at http://127.0.0.1:{port}: Address already in use.")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"AUTH__KEYS": "read:right-key,owner:secret-1"}, "entry 2 does not begin with a role"),
        ({"AUTH__KEYS_FILE": "/proc/nowhere/keys"}, "/proc/nowhere/keys: it cannot be read: No such file"),
        ({"HTTP__TLS_CERTIFICATE": "/proc/nowhere.pem"}, "/proc/nowhere.pem or"),
    ],
)
def test_settings_that_are_wrong_are_told_in_one_line(
    settings: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (MEMORY | settings).items():
        monkeypatch.setenv(f"LOOKALIKE_{name}", value)

    with pytest.raises(SystemExit) as ended:
        command_line.main(["serve", "--port", "0"])

    assert ended.value.code == 2
    output = capsys.readouterr()
    assert output.err.startswith("lookalike: ")
    assert output.err.count("\n") == 1
    assert told in output.err
    assert "secret" not in output.err
    assert "Serving" not in output.out


def test_several_workers_over_an_embedded_index_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOOKALIKE_HTTP__WORKERS", "2")

    with pytest.raises(SystemExit) as ended:
        command_line.main(["serve", "--port", "0"])

    assert ended.value.code == 2
    assert "LOOKALIKE_REPOSITORY__BACKEND=qdrant" in capsys.readouterr().err


def test_addresses() -> None:
    assert (_address("::1", 80), _address("localhost", 80)) == ("http://[::1]:80", "http://localhost:80")
    assert _address("::1", 443, "https") == "https://[::1]:443"
    assert [_is_loopback(host) for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost")] == [True] * 4
    assert [_is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.2", "example.org")] == [False] * 4  # noqa: S104
