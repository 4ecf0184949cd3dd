import re
import sys
from pathlib import Path

import pytest

from entrypoints.cli.main import main


@pytest.mark.parametrize("arguments", [["export", "--model", "resnet18"], ["pull", "resnet18"]])
def test_without_torch_the_extra_to_install_is_named(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOOKALIKE_DATA_DIR", str(tmp_path))
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails, as where it is not installed
    for module in [name for name in sys.modules if name.startswith(("adapters.encoders", "adapters.toolchain"))]:
        monkeypatch.delitem(sys.modules, module)

    with pytest.raises(SystemExit) as ended:
        main(["models", *arguments])

    assert ended.value.code == 2
    assert ".[torch]" in capsys.readouterr().err


def exit_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["models", *arguments])
    return int(str(end.value.code))


@pytest.mark.parametrize("digest", ["6ee6b1", "", "9656183g", "0" * 65])
@pytest.mark.parametrize(
    "command", [["pull", "resnet18.a1_in1k"], ["export", "--model", "resnet18"], ["export-detector", "--model", "ssd"]]
)
def test_what_is_no_digest_is_refused_before_anything_is_fetched(
    command: list[str], digest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("timm")
    monkeypatch.setenv("LOOKALIKE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.hf_hub_download", pytest.fail)

    assert exit_code(*command, "--sha256", digest) == 2
    assert f"{digest!r} is no SHA-256, and not the beginning of one" in " ".join(capsys.readouterr().err.split())


def test_the_example_of_pull_is_one_that_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("timm")
    monkeypatch.setenv("COLUMNS", "200")
    exit_code("pull", "--help")
    [example] = re.findall(r"Example: lookalike models (.*)", capsys.readouterr().out)

    assert exit_code(*example.replace("│", "").split()) == 0
    assert "LOOKALIKE_ENCODER__CHECKPOINT_SHA256=77cc7160d37b" in capsys.readouterr().out


def test_the_packaged_default_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOOKALIKE_DATA_DIR", str(tmp_path))

    with pytest.raises(SystemExit) as ended:
        main(["models", "list"])

    output = capsys.readouterr().out
    assert ended.value.code == 0
    assert "tf_efficientnet_lite1" in output
    assert "77cc7160d37b" in output
    assert "The settings choose tf_efficientnet_lite1 on openvino." in output
