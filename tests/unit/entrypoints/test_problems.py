import json
from http import HTTPStatus
from pathlib import Path

import pytest

from domain import errors
from domain.errors import LookalikeError
from entrypoints.http.contract.problems import CODES, MAX_DETAIL, MAX_PLACE, STATUS, problem_of
from tests.pictures import a_picture
from tests.unit.domain.test_errors import NAMED
from tests.unit.entrypoints.application import an_app, serving


def test_every_error_has_a_status() -> None:
    assert STATUS.keys() == NAMED


@pytest.mark.parametrize("error", sorted(STATUS, key=lambda error: error.__name__))
def test_the_status_is_one_of_the_contract_s(error: type[LookalikeError]) -> None:
    allowed = {403, 404, 409, 413, 415, 422, 503, 504, 507}
    # The one keeps the service from starting: no caller sees it. The other is no caller's doing.
    if issubclass(error, errors.ConfigurationError | errors.InternalError):
        allowed = {500}
    assert STATUS[error] in allowed
    assert (STATUS[error] == HTTPStatus.SERVICE_UNAVAILABLE) == issubclass(error, errors.UnavailableError)


def test_every_plain_status_has_a_code_of_its_own() -> None:
    assert len(set(CODES.values())) == len(CODES)


def test_a_named_error_keeps_its_code_and_words() -> None:
    problem = problem_of(errors.InvalidRegionError("It is empty."), instance="/v1/search", request_id="abc")
    assert (problem.status, problem.code, problem.detail) == (422, "invalid_region", "It is empty.")
    assert (problem.instance, problem.request_id) == ("/v1/search", "abc")
    assert problem.type.endswith("invalid_region")
    assert "errors" not in problem.model_dump(exclude_none=True)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.RepositoryUnavailableError("away", retry_after=7.4), 503, "repository_unavailable"),
        (errors.BusyError("busy", retry_after=0.1), 503, "busy"),
        (errors.StorageFullError("full"), 507, "storage_full"),
        (errors.EmbeddingSpaceError("replaced"), 409, "embedding_space_mismatch"),
    ],
)
async def test_what_fails_while_serving_is_answered(
    tmp_path: Path, error: LookalikeError, status: int, code: str
) -> None:
    app = an_app(tmp_path)
    async with serving(app) as client:
        app.state.container.chosen_encoder().failure = error
        response = await client.post("/v1/search", files={"file": a_picture(1)})
    assert (response.status_code, response.json()["code"]) == (status, code)
    if status == 503:
        assert response.headers["retry-after"] == {"busy": "1"}.get(code, "7")


async def test_a_batch_tells_which_pictures_met_an_error_without_a_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = an_app(tmp_path)
    files = [("files", ("hat.png", a_picture(1))), ("files", ("notes.txt", b"no picture"))]
    async with serving(app) as client:
        app.state.container.chosen_encoder().failure = RuntimeError("a secret of the house")
        answer = await client.post("/v1/images/batch", files=files)
    assert (answer.status_code, answer.json()["failed"]) == (207, 2)
    problem = answer.json()["results"][0]["problem"]
    assert (problem["status"], problem["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert any(record.exc_info and "a secret of the house" in str(record.exc_info[1]) for record in caplog.records)


async def test_while_the_index_is_away_nothing_is_served_but_health(tmp_path: Path) -> None:
    app = an_app(tmp_path)
    app.state.container.chosen_repository().failure = errors.RepositoryUnavailableError("no answer")
    async with serving(app) as client:
        assert (await client.get("/health/live")).status_code == 200
        ready = await client.get("/health/ready")
        listed = await client.get("/v1/images")
    assert (ready.status_code, ready.json()["code"]) == (503, "not_ready")
    assert "no answer" in ready.json()["detail"]
    assert int(ready.headers["retry-after"]) >= 1
    assert (listed.status_code, listed.json()["code"]) == (503, "repository_unavailable")
    assert int(listed.headers["retry-after"]) >= 1


async def test_a_problem_takes_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be none left, which would make an error of every refusal."""

    def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("starlette._exception_handler.run_in_threadpool", no_thread)
    async with serving(an_app(tmp_path)) as client:
        answers = [
            await client.get("/nowhere"),
            await client.get("/v1/images", params={"limit": 0}),
            await client.get("/v1/images/00000000-0000-0000-0000-000000000000"),
        ]
    assert [answer.status_code for answer in answers] == [404, 422, 404]


async def test_a_mistake_in_the_deployment_ends_the_start(tmp_path: Path) -> None:
    app = an_app(tmp_path)
    app.state.container.chosen_repository().failure = errors.EmbeddingSpaceError("another space")
    with pytest.raises(errors.EmbeddingSpaceError):
        async with serving(app):
            pass
    assert isinstance(app.state.start_failure, errors.EmbeddingSpaceError)


async def test_what_was_sent_is_not_repeated_at_length(tmp_path: Path) -> None:
    long = {f"{'k' * 500}{number}": 1 for number in range(1000)}
    async with serving(an_app(tmp_path)) as client:
        unknown = await client.post("/v1/search/examples", json=long)
        metadata = await client.post(
            "/v1/images", files={"file": a_picture(1)}, data={"metadata": json.dumps({"\n" * 100_000: 1})}
        )
    problem = unknown.json()
    assert (unknown.status_code, len(problem["errors"])) == (422, 50)
    assert len(problem["detail"]) <= MAX_DETAIL
    assert all(len(error["loc"][1]) == MAX_PLACE for error in problem["errors"])
    assert (metadata.status_code, len(metadata.content) < 5 * MAX_DETAIL) == (422, True)


@pytest.mark.parametrize(
    "body", [b'{"\\ud800": 1}', b'{"positive": ["\\ud800"]}', b'{"filter": {"all": [{"field": "\\ud800", "eq": 1}]}}']
)
async def test_what_utf_8_cannot_spell_is_spelt_out(tmp_path: Path, body: bytes) -> None:
    async with serving(an_app(tmp_path)) as client:
        answer = await client.post("/v1/search/examples", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


@pytest.mark.parametrize("body", [b"[" * 100_000, b"9" * 5000, b"\xff{}"], ids=["deep", "long number", "no UTF-8"])
async def test_json_that_cannot_be_read_is_told_why(tmp_path: Path, body: bytes) -> None:
    async with serving(an_app(tmp_path)) as client:
        answer = await client.post("/v1/search/examples", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")
    assert "UTF-8" in answer.json()["detail"]


@pytest.mark.parametrize("host", [b"[::1", b"\xff", b"a/b?c#d", b""])
async def test_the_instance_is_the_path_whatever_the_host(tmp_path: Path, host: bytes) -> None:
    async with serving(an_app(tmp_path)) as client:
        answer = await client.get("/nowhere", headers={"host": host})
        session = await client.post("/session", headers={"host": host})
    assert (answer.status_code, answer.json()["instance"], session.status_code) == (404, "/nowhere", 204)


@pytest.mark.parametrize(
    ("content_type", "body", "detail"),
    [
        (
            "application/json",
            b"{'a': 1}",
            "body: it is not JSON: Expecting property name enclosed in double quotes at ",
        ),
        ("application/json", b"[1]", "body: it is a JSON object"),
        (
            "application/x-www-form-urlencoded",
            b'{"metadata": {}}',
            "body: send it as JSON, with Content-Type: applicat",
        ),
        ("multipart/form-data; boundary=B", b"--B--", "body: send it as JSON, with Content-Type: application/json"),
        ("", b"{}", "body: send it as JSON, with Content-Type: application/json"),
    ],
)
@pytest.mark.parametrize(
    "operation", [("PATCH", "/v1/images/0a4d55a8-d778-5022-abab-977f9a1b3f7c"), ("POST", "/v1/images/delete")]
)
async def test_a_body_that_is_not_taken_says_how_it_is_sent(
    tmp_path: Path, operation: tuple[str, str], content_type: str, body: bytes, detail: str
) -> None:
    async with serving(an_app(tmp_path)) as client:
        answer = await client.request(*operation, content=body, headers={"content-type": content_type})
    assert answer.status_code == (400 if answer.json()["code"] == "malformed_json" else 422)
    assert answer.json()["detail"].startswith(detail)


@pytest.mark.parametrize(("root", "docs"), [("", "/docs"), ("/pictures", "/pictures/docs")])
@pytest.mark.parametrize("path", ["/nowhere", "/static-offline-docs/nowhere"])
async def test_nothing_there_says_where_the_operations_are_listed(
    tmp_path: Path, root: str, docs: str, path: str
) -> None:
    async with serving(an_app(tmp_path, http={"root_path": root})) as client:
        answer = await client.get(root + path)
        listed = await client.get(docs)
    assert answer.status_code == 404
    assert answer.json()["detail"].endswith(f" are listed at {docs}.")
    assert listed.status_code == 200
