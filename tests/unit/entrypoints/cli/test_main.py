from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import typer

from domain import errors
from entrypoints.cli import main as command_line


def commands(of: typer.Typer, before: str = "") -> Iterator[str]:
    for command in of.registered_commands:
        assert command.callback is not None
        yield before + (command.name or command.callback.__name__)
    for group in of.registered_groups:
        assert group.typer_instance is not None
        yield from commands(group.typer_instance, f"{before}{group.name} ")


@pytest.mark.parametrize("command", [*commands(command_line.app)])
def test_every_command_explains_itself_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.main([*command.split(), "--help"])

    assert ended.value.code == 0
    assert "Example: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigurationError("reason"), 2),
        (errors.ModelError("reason"), 2),
        (errors.IndexInUseError("reason"), 2),
        (errors.EmbeddingSpaceError("reason"), 2),
        (errors.InvalidFilterError("reason"), 2),
        (errors.UnsupportedImageError("reason"), 1),
        (errors.StorageFullError("reason"), 1),
        (errors.RepositoryUnavailableError("reason"), 1),
        (PermissionError(13, "reason", "/place"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_named_error_is_one_line_and_an_exit_code(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(command_line, "app", fail)

    with pytest.raises(SystemExit) as ended:
        command_line.main([])

    assert ended.value.code == code
    assert capsys.readouterr().err.startswith("lookalike: reason")


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"lookalike {version('lookalike')}\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["search", "picture.png", "--region", "1,2,3"], "x_min,y_min,x_max,y_max"),
        (["search", "picture.png", "--filter", '{"all": 1}'], "each part of it is a list"),
        (["search", "picture.png", "--api-key", "secret"], "goes with --url"),
        (["search", "picture.png", "--save", "found.txt"], "cannot be saved as '.txt'"),
        (["detect", "picture.png", "--save", "found"], "cannot be saved as ''"),
        (["detect", "picture.png", "--save", "nowhere/found.png"], "no folder nowhere"),
        (["index", "picture.png", "--metadata", "[1]"], "no JSON object"),
        (["index", "picture.png", "--metadata", '{"price": NaN}'], "NaN is not a JSON number"),
        (["index", "nowhere"], "'nowhere' does not exist"),
        (["index", "folder"], "no picture in folder"),
        (["delete"], "one of the two"),
        (["delete", "0a4d55a8-d778-5022-abab-977f9a1b3f7c", "--filter", "{}"], "one of the two"),
        (["delete", "--filter", "{}"], "names nothing"),
        (["delete", "--filter", "{}", "--yes"], "names nothing"),
        (["patch", "{}", "--filter", '{"all": []}'], "names nothing"),
        (["delete", "--filter", '{"none": [{"field": "labels", "in": []}]}'], "compares a field with an empty `in`"),
        (["delete", "--filter", '{"all": [{"field": "labels", "eq": "cat"}]}'], "is needed where there is no terminal"),
        (["reindex"], "say what is to be built anew"),
        (["reindex", "--objects", "--url", "http://127.0.0.1:8000"], "run this command where its settings are"),
        (["list", "--url", "localhost:8000"], "write it as http://127.0.0.1:8000"),
        (["patch", "{}"], "name keys or ids, or give --filter"),
        (["patch", "price=1", "hat.jpg"], "it is not JSON"),
        (["delete", "hat.jpg", "--filter", "{}"], "one of the two"),
    ],
)
def test_misuse_is_explained_before_anything_is_opened(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "picture.png").write_bytes(b"")
    (tmp_path / "folder").mkdir()

    with pytest.raises(SystemExit) as ended:
        command_line.main(arguments)

    assert ended.value.code == 2
    assert told in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "picture.png"]
