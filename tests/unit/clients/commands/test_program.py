"""The program that the client brings, and what it shares with the service's: messages and exit codes."""

import sys

import pytest

from lookalike_client import LookalikeError, NoServiceError, PictureFileError, Problem
from lookalike_client.__main__ import main
from lookalike_client.commands import alone
from lookalike_client.commands.connection import NoIndexError
from lookalike_client.commands.program import run
from lookalike_client.errors import error_of


def refused(status: int, code: str) -> LookalikeError:
    return error_of(Problem(status=status, code=code, detail="reason"))


@pytest.mark.parametrize(
    ("error", "told", "code"),
    [
        (refused(422, "validation_failed"), "reason\n", 2),
        (refused(401, "unauthorized"), "reason Give an API key with --api-key or in LOOKALIKE_CLIENT__API_KEY.\n", 2),
        (refused(409, "embedding_space_mismatch"), "reason\n", 2),
        (refused(404, "image_not_found"), "reason\n", 1),
        (refused(415, "unsupported_image_format"), "reason\n", 1),
        (refused(503, "busy"), "reason\n", 1),
        (NoServiceError("reason"), "reason Start one with `lookalike serve`, or correct --url.\n", 1),
        (PictureFileError("reason"), "reason\n", 1),
        (NoIndexError("reason"), "reason\n", 2),
        (PermissionError(13, "reason", "/place"), "reason: /place\n", 1),
    ],
    ids=str,
)
def test_what_the_service_refuses_is_one_line_and_an_exit_code(
    error: Exception, told: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        run(command)

    assert (ended.value.code, capsys.readouterr().err) == (code, f"lookalike: {told}")


def test_without_the_extra_the_way_to_it_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "typer", None)  # importing it fails, as where it is not installed
    for module in [name for name in sys.modules if name.startswith("lookalike_client.commands")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delattr("lookalike_client.commands")

    with pytest.raises(SystemExit) as ended:
        main()

    told = (
        "lookalike-client: typer is not installed. The command line needs it: pip install './clients/python[commands]'"
    )
    assert str(ended.value.code).startswith(told)


def test_a_client_alone_needs_to_know_where_the_service_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, told in (("LOOKALIKE_CLIENT__ULR", "say where the service is"), ("LOOKALIKE_CLIENT__URL", "no address")):
        monkeypatch.setenv(name, "localhost:8000")
        with pytest.raises(SystemExit) as ended:
            alone.main(["list"])
        assert (ended.value.code, told in capsys.readouterr().err) == (2, True)
