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
    for module in [name for name in sys.modules if name.startswith("adapters.encoders")]:
        monkeypatch.delitem(sys.modules, module)

    with pytest.raises(SystemExit) as ended:
        main(["models", *arguments])

    assert ended.value.code == 2
    assert ".[torch]" in capsys.readouterr().err


def test_the_packaged_default_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOOKALIKE_DATA_DIR", str(tmp_path))

    with pytest.raises(SystemExit) as ended:
        main(["models", "list"])

    output = capsys.readouterr().out
    assert ended.value.code == 0
    assert "tf_efficientnet_lite2" in output
    assert "9656183eaeaf" in output
    assert "The settings choose tf_efficientnet_lite2 on openvino." in output
