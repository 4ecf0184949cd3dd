"""Whatever is wrong with a deployment is told in one line that says what to do, and the command exits with 2.

Most cases run in this process, as the command line does: a process of its own would add a second each. What `serve`
makes of a failure is tried in a process of its own at the end.
"""

import asyncio
import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapters.encoders.exported_model import PACKAGED, ExportedModel
from adapters.repositories.qdrant.embedded.manifest import locked
from domain.embeddings import EmbeddingSpace
from entrypoints.cli.main import main
from tests.integration.cli.command import lookalike
from tests.repositories import embedded_repository

SPACE = EmbeddingSpace(model="small", weights_digest="0" * 64, dimension=8, preprocessing="none", decode_version=1)
INDEX = ("index", str(Path(__file__).parents[3] / "examples" / "photos" / "hat-01.jpg"))

Run = Callable[..., str]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a command with these settings only; what it says on standard error, having seen that it is one refusal."""
    for name in [name for name in os.environ if name.startswith("LOOKALIKE_")]:
        monkeypatch.delenv(name)
    defaults = {"DATA_DIR": str(tmp_path / "data"), "DETECTOR__RUNTIME": "none", "STORAGE__RESERVE_BYTES": "0"}

    def run(*arguments: str, lines: int = 1, **settings: str) -> str:
        for name, value in (defaults | settings).items():
            monkeypatch.setenv(f"LOOKALIKE_{name}", value)
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        told = capsys.readouterr().err
        assert ended.value.code == 2, told
        assert told.startswith("lookalike: ")
        assert told.count("\n") == lines, told
        return told

    return run


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"HTTP__PROT": "1"}, "LOOKALIKE_HTTP__PROT is not a setting. Did you mean LOOKALIKE_HTTP__PORT?"),
        ({"HTTP__PORT": "abc"}, "LOOKALIKE_HTTP__PORT: Input should be a valid integer"),
        ({"HTTP__PORT": "70000"}, "LOOKALIKE_HTTP__PORT: Input should be less than or equal to 65535"),
        ({"ENCODER__RUNTIME": "magic"}, "LOOKALIKE_ENCODER__RUNTIME: Input should be 'openvino' or 'torch'"),
        ({"HTTP__SHUTDOWN_NOTICE_SECONDS": "20"}, "leaves nothing of LOOKALIKE_HTTP__SHUTDOWN_SECONDS=20"),
        ({"ENCODER__CHECKPOINT_SHA256": "77cc7160"}, "only LOOKALIKE_ENCODER__RUNTIME=torch takes"),
        ({"HTTP__WORKERS": "2"}, "needs LOOKALIKE_REPOSITORY__BACKEND=qdrant"),
        ({"REPOSITORY__BACKEND": "qdrant"}, "needs LOOKALIKE_REPOSITORY__URL"),
    ],
)
def test_settings(refused: Run, settings: dict[str, str], told: str) -> None:
    assert told in refused("serve", "--port", "0", **settings)
    assert told in refused(*INDEX, **settings)


def test_secrets_stay_secret(refused: Run) -> None:
    assert "hunter2hunter2" not in refused("serve", AUTH__KEYS="boss:hunter2hunter2")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"ENCODER__DEVICE": "cuda"}, "OpenVINO finds no device 'cuda' here; it finds cpu"),
        ({"ENCODER__MODEL": "nowhere"}, "There is no model 'nowhere' for OpenVINO: give tf_efficientnet_lite1"),
        ({"DETECTOR__RUNTIME": "openvino", "DETECTOR__DEVICE": "gpu"}, "finds no device 'gpu' here"),
        ({"ENCODER__RUNTIME": "torch", "ENCODER__DEVICE": "cuda:7"}, "The device cuda:7 is absent"),
        ({"ENCODER__RUNTIME": "torch", "ENCODER__CHECKPOINT": "/nowhere.pth"}, "/nowhere.pth cannot be read"),
    ],
)
def test_models_and_devices(refused: Run, settings: dict[str, str], told: str) -> None:
    assert told in refused(*INDEX, **settings)


def test_torch_that_is_not_installed(refused: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails, as where it is not installed
    for module in [name for name in sys.modules if name.startswith("adapters.encoders")]:
        monkeypatch.delitem(sys.modules, module)
    told = refused(*INDEX, ENCODER__RUNTIME="torch")
    assert "LOOKALIKE_ENCODER__RUNTIME=torch needs torch" in told
    assert "pip install '.[torch]' in the clone" in told


def test_damaged_and_missing_weights(refused: Run, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(PACKAGED / "tf_efficientnet_lite1", model)
    weights = model / "openvino_model.bin"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert f"{weights} is not the expected one" in refused(*INDEX, ENCODER__MODEL=str(model))
    weights.unlink()
    assert f"{weights} cannot be read: No such file" in refused(*INDEX, ENCODER__MODEL=str(model))


def test_ports(refused: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "Stop what listens there" in refused("serve", "--port", str(port))
    assert "Choose another --host" in refused("serve", "--host", "192.0.2.1")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with an index that nobody has open."""
    data = tmp_path_factory.mktemp("sound")

    async def create() -> None:
        repository = embedded_repository(data / "index")
        await repository.open(SPACE)
        await repository.close()

    asyncio.run(create())
    return data


@pytest.fixture
def data(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "data")
    return tmp_path / "data"


def shard(data: Path) -> Path:
    [found] = (data / "index").glob("shard-*")
    return found


def garble(folder: Path, pattern: str = "*") -> None:
    for path in [path for path in folder.rglob(pattern) if path.is_file()]:
        path.write_bytes(b"\x07garbage" * 20)


def truncate(folder: Path) -> None:
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        os.truncate(path, 3)


def edit_manifest(data: Path, **changes: object) -> None:
    path = data / "index" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


MOVE_AWAY = "away. Then restore a backup (`lookalike restore DIR`) or index the pictures anew."


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda data: garble(shard(data) / "segments"), MOVE_AWAY),
        (lambda data: truncate(shard(data) / "segments"), MOVE_AWAY),
        (lambda data: garble(shard(data) / "wal"), MOVE_AWAY),
        (lambda data: truncate(shard(data) / "wal"), MOVE_AWAY),
        (lambda data: garble(shard(data), "edge_config.json"), MOVE_AWAY),
        (lambda data: shutil.rmtree(shard(data) / "segments"), MOVE_AWAY),
        (lambda data: shutil.rmtree(shard(data)), MOVE_AWAY),
        (lambda data: garble(data / "index", "manifest.json"), MOVE_AWAY),
        (lambda data: (data / "index" / "manifest.json").unlink(), MOVE_AWAY),
        (lambda data: edit_manifest(data, format=99), "Run the newer version that wrote it."),
        (lambda data: edit_manifest(data, format=1), "index the pictures anew"),
    ],
    ids=[
        "garbage segments",
        "short segments",
        "garbage wal",
        "short wal",
        "garbage config",
        "no segments",
        "no shard",
        "garbage manifest",
        "no manifest",
        "newer format",
        "older format",
    ],
)
def test_a_damaged_index(refused: Run, data: Path, damage: Callable[[Path], object], told: str) -> None:
    damage(data)
    assert told in refused("list")


@pytest.fixture
def open_elsewhere(data: Path) -> Iterator[None]:
    lock = locked(data / "index")
    yield
    lock.close()


@pytest.mark.usefixtures("open_elsewhere")
@pytest.mark.parametrize("command", [("serve", "--port", "0"), INDEX, ("list",)])
def test_an_index_that_another_process_has_open(refused: Run, command: tuple[str, ...]) -> None:
    assert "is open in another process. Stop that one, or ask it: --url." in refused(*command)


def test_files_in_the_way(refused: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "Pictures cannot be stored in" in refused(*INDEX, DATA_DIR=str(tmp_path / "file"))
    (tmp_path / "index").write_text("")
    assert "Name a data directory that this process may write to" in refused(*INDEX, DATA_DIR=str(tmp_path))


def test_a_data_directory_of_a_later_release(refused: Run, data: Path) -> None:
    (data / "format").write_text("3\n")
    theirs = data / "index" / "what-that-release-keeps-here"
    theirs.mkdir()
    reindex = ("reindex", "--embeddings")
    for command in (INDEX, ("list",), ("check",), ("backup", str(data.parent / "backup")), reindex):
        told = refused(*command, DATA_DIR=str(data))
        assert f"The data directory {data} has format 3; this release knows formats up to 2. Run the release" in told
    assert theirs.is_dir()


def test_an_index_of_another_space(refused: Run, data: Path) -> None:
    told = refused(*INDEX, DATA_DIR=str(data))
    assert "was built with another encoder: " in told
    assert "Run `lookalike reindex --embeddings`" in told


def test_serve_ends_with_the_reason_alone(data: Path) -> None:
    """When all is loaded, and the engine finds the damage."""
    edit_manifest(data, current=space_of_the_default(data))
    garble(shard(data) / "segments")
    ended = lookalike("serve", "--port", "0", data_dir=data, settings={"DETECTOR__RUNTIME": "none"})
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert MOVE_AWAY in ended.stderr
    assert not ended.stdout


def space_of_the_default(data: Path) -> dict[str, object]:
    """The entry of the index's manifest, as if the packaged encoder had made it."""
    entry: dict[str, object] = json.loads((data / "index" / "manifest.json").read_text())["current"]
    return entry | {"space": ExportedModel.find("tf_efficientnet_lite1").space.as_mapping()}
