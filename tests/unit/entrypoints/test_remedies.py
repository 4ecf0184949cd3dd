"""What mends a failure is said where settings and commands are known, and only there."""

import logging
import pickle
import re
from pathlib import Path

import pytest

from application import run_service
from domain.errors import EmbeddingSpaceError, Remedy, RepositoryUnavailableError
from entrypoints.remedies import SENTENCES, explained
from entrypoints.settings import LogSettings
from tests.eventually import eventually
from tests.fakes import JournalledRepository
from tests.unit.entrypoints.application import an_app, serving
from tests.unit.entrypoints.written_logs import logged

SOURCE = Path(__file__).parents[3] / "src"
MISFIT = EmbeddingSpaceError("Another space.", remedy=Remedy.REINDEX_EMBEDDINGS)


def test_every_remedy_has_a_sentence() -> None:
    assert set(Remedy) == SENTENCES.keys()
    assert all(sentence.endswith(".") for sentence in SENTENCES.values() if "--url" not in sentence)


@pytest.mark.parametrize("package", ["adapters", "application", "domain"])
def test_what_lies_below_names_no_setting_and_no_command(package: str) -> None:
    named = re.compile(r"LOOKALIKE_|[`(]lookalike [a-z]")
    assert [path for path in (SOURCE / package).rglob("*.py") if named.search(path.read_text())] == []


def test_an_explained_error_is_its_message_and_the_remedy() -> None:
    assert explained(MISFIT).startswith("Another space. Run `lookalike reindex --embeddings` to ")
    assert explained(RepositoryUnavailableError("Away.")) == "Away."


def test_a_remedy_crosses_a_process_boundary() -> None:
    error = pickle.loads(pickle.dumps(RepositoryUnavailableError("Away.", remedy=Remedy.RESTORE_A_BACKUP)))  # noqa: S301
    assert (str(error), error.remedy) == ("Away.", Remedy.RESTORE_A_BACKUP)


def test_a_log_line_that_quotes_an_error_says_what_mends_it() -> None:
    with logged(LogSettings(format="json")) as written:
        logging.getLogger("foreign").warning("Not opened: %s (%d)", MISFIT, 1)
    assert "Not opened: Another space. Run `lookalike reindex --embeddings`" in written.getvalue()


async def test_readiness_and_refusals_say_what_mends_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_service, "RETRY_SECONDS", 0.001)
    app = an_app(tmp_path)
    repository = app.state.container.chosen_repository()
    assert isinstance(repository, JournalledRepository)
    repository.failure = RepositoryUnavailableError("away")
    async with serving(app) as client:
        repository.failure = MISFIT
        service = app.state.container.run_service()

        def has_failed_again() -> bool:
            return service._failure is MISFIT

        assert await eventually(has_failed_again)
        ready, listing = await client.get("/health/ready"), await client.get("/v1/images")
    assert (ready.status_code, listing.status_code) == (503, 503)
    for answer in (ready.json()["missing"][0], ready.json()["detail"], listing.json()["detail"]):
        assert "not open yet: Another space. Run `lookalike reindex --embeddings`" in answer
