import pytest

from entrypoints.cli.progress import progress


def test_without_a_terminal_the_end_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("Checking") as show:
        for done in (0, 1, 2, 2, 2):
            show(done, 2)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("Checking: 2/2, ")


def test_without_a_terminal_another_pass_is_told_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("entrypoints.cli.progress.PLAIN_INTERVAL", 0)
    with progress("Reindexing") as show:
        for done, total in ((1, 2), (2, 2), (2, 2), (1, 3), (3, 3)):
            show(done, total)
    told = [line.partition(",")[0] for line in capsys.readouterr().err.splitlines()]
    assert told == [f"Reindexing: {step}" for step in ("1/2", "2/2", "1/3", "3/3")]
