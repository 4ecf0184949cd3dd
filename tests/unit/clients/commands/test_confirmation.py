"""When removals are asked about."""

import pytest

from lookalike_client.commands import confirmation
from lookalike_client.commands.confirmation import consents_to_removal, is_much


@pytest.mark.parametrize(
    ("gone", "yes", "is_removed"), [(10, False, True), (11, False, False), (100, False, False), (100, True, True)]
)
def test_more_than_a_tenth_is_kept_where_nobody_can_be_asked(
    gone: int, yes: bool, is_removed: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert consents_to_removal("Much is gone.", much=is_much(gone, ours=100), yes=yes) == is_removed
    assert ("Much is gone. They stay" in capsys.readouterr().err) != is_removed


@pytest.mark.parametrize("answer", [True, False])
def test_more_than_a_tenth_is_asked_about_at_a_terminal(answer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(confirmation.typer, "confirm", lambda question: answer and "Much is gone." in question)
    assert consents_to_removal("Much is gone.", much=is_much(11, ours=100), yes=False) == answer
