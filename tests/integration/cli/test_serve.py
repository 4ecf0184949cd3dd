import signal
from pathlib import Path

import httpx
import pytest

from tests.integration.cli.command import lookalike
from tests.serving import start

MEMORY = {"REPOSITORY__BACKEND": "memory", "DETECTOR__RUNTIME": "none"}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"DATA_DIR": "/proc/nowhere"}, "Pictures cannot be stored in /proc/nowhere/images"),
        ({"ENCODER__MODEL": "no-such-model"}, "no model 'no-such-model'"),
    ],
)
def test_a_start_that_fails_is_told_in_one_line(settings: dict[str, str], told: str, tmp_path: Path) -> None:
    refused = lookalike("serve", "--port", "0", data_dir=tmp_path / "data", settings=MEMORY | settings)

    assert refused.returncode == 2
    assert refused.stderr.startswith("lookalike: ")
    assert refused.stderr.count("\n") == 1
    assert told in refused.stderr
    assert "Serving" not in refused.stdout


def test_a_service_open_to_all_warns_and_ends_by_ctrl_c(tmp_path: Path) -> None:
    service = start(tmp_path, MEMORY | {"HTTP__HOST": "0.0.0.0"})  # noqa: S104 - that is what warns
    try:
        headers = httpx.get(f"{service.url}/health/live").headers
        service.process.send_signal(signal.SIGINT)
        code = service.process.wait(30)
    finally:
        service.process.kill()

    assert code == 130
    assert "WARNING: no keys are configured" in service.output()
    assert "Application shutdown complete" in service.output()
    assert "Server" not in headers
