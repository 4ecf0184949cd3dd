import pytest

from entrypoints.cli.progress import progress


def test_without_a_terminal_the_end_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("Checking") as show:
        for done in (0, 1, 2, 2, 2):
            show(done, 2)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("Checking: 2/2, ")
