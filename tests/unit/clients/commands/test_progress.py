import pytest

from lookalike_client.commands.progress import Estimate, progress


def test_without_a_terminal_the_end_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("Checking") as show:
        for done in (0, 1, 2, 2, 2):
            show(done, 2)
    [line] = capsys.readouterr().err.splitlines()
    assert line == "Checking: 2/2"  # in no time: there is no rate to tell


def test_without_a_terminal_another_pass_is_told_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike_client.commands.progress.PLAIN_INTERVAL", 0)
    with progress("Reindexing") as show:
        for done, total in ((1, 2), (2, 2), (2, 2), (1, 3), (3, 3)):
            show(done, total)
    told = [line.partition(",")[0] for line in capsys.readouterr().err.splitlines()]
    assert told == [f"Reindexing: {step}" for step in ("1/2", "2/2", "1/3", "3/3")]


def test_the_time_left_waits_until_it_means_something(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("lookalike_client.commands.progress.time.monotonic", lambda: now[0])
    estimate = Estimate()
    told = []
    for second, done in ((0, 0), (30, 16), (30.2, 32), (32, 36), (36, 46), (80, 156), (90, 10), (92, 12)):
        now[0] = second
        estimate.update(done, 156)
        told.append(str(estimate))
    # Models loaded for thirty seconds; then there were 20 in two seconds, 30 in six, and another pass.
    assert told == ["", "", "", "10.0/s", "5.0/s, 0:00:22 left", "2.8/s", "", "1.0/s"]
