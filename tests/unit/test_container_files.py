"""What Dockerfile and compose files say of settings, extras and files, against what there is.

They are read by machines that have a container registry, so a slip in them would otherwise show only there.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from entrypoints.http.server.signals import CLOSING_SECONDS
from entrypoints.settings import PREFIX, ClientSettings, HttpSettings, Settings, load_settings, setting_names

ROOT = Path(__file__).parents[2]
FILES = ("Dockerfile", "docker-compose.yml", "docker-compose.gpu.yml")


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


@pytest.mark.parametrize("file", FILES)
def test_settings_exist(file: str) -> None:
    # The service refuses to start with an unknown LOOKALIKE_ variable.
    named = set(re.findall(r"LOOKALIKE_[A-Z0-9_]+", (ROOT / file).read_text()))
    assert named <= set(setting_names(Settings))
    assert named


def test_compose_hands_on_every_setting() -> None:
    handed_on = {name: value for name, value in services()["api"]["environment"].items() if name.startswith(PREFIX)}
    image = {f"{PREFIX}{name}" for name in ("DATA_DIR", "MODELS_DIR", "HTTP__HOST", "HTTP__PORT")}
    commands = set(setting_names(ClientSettings, f"{PREFIX}CLIENT__"))
    assert handed_on.keys() == set(setting_names(Settings)) - image - commands
    fixed = {name for name, value in handed_on.items() if value is not None}
    assert fixed == {f"{PREFIX}REPOSITORY__BACKEND", f"{PREFIX}REPOSITORY__URL"}


@pytest.mark.parametrize("files", [FILES[1:2], FILES[1:]], ids=["cpu", "gpu"])
def test_what_compose_sets_is_taken(files: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file in files:
        for name, value in yaml.safe_load((ROOT / file).read_text())["services"]["api"]["environment"].items():
            if name.startswith(PREFIX) and value is not None:
                monkeypatch.setenv(name, value)
    assert load_settings().encoder.runtime == ("torch" if "docker-compose.gpu.yml" in files else "openvino")


def test_lock_files_exist() -> None:
    for file, lock in {"Dockerfile": "image", "docker-compose.gpu.yml": "torch"}.items():
        [named] = re.findall(r"^\s*(?:ARG )?LOCK[=:]\s*(\S+)$", (ROOT / file).read_text(), flags=re.MULTILINE)
        assert named == f"requirements/{lock}.lock"
        assert (ROOT / named).exists()


def test_nothing_is_installed_unchecked() -> None:
    instructions = re.findall(r"^RUN ((?:.*\\\n)*.*)$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    commands = [command for instruction in instructions for command in instruction.replace("\\\n", " ").split("&&")]
    installs = [words for words in map(str.split, commands) if words[0].endswith("/pip") and "install" in words]
    assert len(installs) == 3
    for words in installs:
        # Either each file has its digest, or it is the wheel that has just been made of our own packages.
        assert {"--require-hashes", "--only-binary"} <= set(words) or words[-1] == "wheel/*.whl"


def test_the_service_gets_no_rights() -> None:
    service = services()["api"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"].startswith("/tmp:")  # noqa: S108 - the container's
    assert service["init"] is True
    assert service["pids_limit"]
    assert service["mem_limit"]
    assert not {"privileged", "cap_add", "user", "pid", "network_mode", "devices"} & service.keys()
    [user] = re.findall(r"^USER (\d+):\d+$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert int(user) > 0


def test_each_service_is_bounded() -> None:
    for service in services().values():
        assert {"mem_limit", "pids_limit", "cap_drop", "security_opt", "stop_grace_period", "logging"} <= service.keys()


def test_build_context_has_what_is_copied() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    let_through = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), flags=re.MULTILINE)
    assert sources == set(let_through)
    assert all((ROOT / source).exists() for source in sources)


def test_service_may_drain_and_close_before_it_is_killed() -> None:
    [documented] = re.findall(r"--stop-timeout (\d+)", (ROOT / "Dockerfile").read_text())
    for grace in (services()["api"]["stop_grace_period"].removesuffix("s"), documented):
        assert int(grace) > HttpSettings().shutdown_seconds + CLOSING_SECONDS
