"""GET /metrics of an application on fakes."""

import asyncio
import re
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from domain.errors import RepositoryUnavailableError
from domain.models import RepositoryStatus
from entrypoints.http.routes import operations
from entrypoints.http.routes.bodies import BytesInFlight
from tests.fakes import JournalledRepository
from tests.pictures import a_picture
from tests.unit.adapters.telemetry.readings import Readings, by, moved, read, value
from tests.unit.entrypoints.application import an_app, serving

FILE = {"file": ("hat.png", a_picture(1))}


async def scraped(client: httpx.AsyncClient) -> Readings:
    response = await client.get("/metrics")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return read(response.text)


def requests(readings: Readings) -> dict[tuple[str, str, str], float]:
    found = {}
    for (name, labels), count in readings.items():
        if name == "lookalike_http_requests_total":
            of = dict(labels)
            found[of["method"], of["route"], of["status"]] = count
    return found


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return an_app(tmp_path)


async def test_requests_are_counted_by_the_template_of_their_route(app: FastAPI) -> None:
    async with serving(app) as client:
        for number in range(1, 5):
            await client.get(f"/v1/images/00000000-0000-5000-8000-{number:012}")
        created = await client.post("/v1/images", files=FILE)
        await client.get(f"/v1/images/{created.json()['id']}")
        await client.get("/v1/search")
        await client.get("/v1/images", params={"limit": 0})
        found = requests(await scraped(client))
    assert found == {
        ("GET", "/v1/images/{id}", "404"): 4,
        ("GET", "/v1/images/{id}", "200"): 1,
        ("POST", "/v1/images", "201"): 1,
        ("GET", "/v1/search", "405"): 1,
        ("GET", "/v1/images", "422"): 1,
    }


async def test_what_callers_make_up_makes_no_new_series(app: FastAPI) -> None:
    async with serving(app) as client:
        for number in range(20):
            await client.request(f"BREW{number}", "/v1/images")
            await client.get(f"/nowhere/{number}")
            await client.get(f"/assets/{number}/page.js")
            await client.request(f"BREW{number}", f"/nowhere/{number}")
        readings = await scraped(client)
    assert requests(readings) == {
        ("other", "/v1/images", "405"): 20,
        ("GET", "unmatched", "404"): 40,
        ("other", "unmatched", "404"): 20,
    }


async def test_no_route_answers_under_its_raw_path(app: FastAPI) -> None:
    async with serving(app) as client:
        page = await client.get("/")
        [script] = re.findall(r'src="(assets/[^"]+)"', page.text)[:1]
        for path in ("/docs", "/openapi.json", "/session", f"/{script}"):
            assert (await client.get(path)).status_code == 200
        found = {route for _, route, _ in requests(await scraped(client))}
    folder = script.split("/")[1]
    assert found == {"/", "/docs", "/openapi.json", "/session", f"/assets/{folder}/{{name}}"}


async def test_problems_are_counted_by_their_code(app: FastAPI) -> None:
    async with serving(app) as client:
        await client.post("/v1/search", files={"file": ("a.png", a_picture(1)[:200])})
        await client.post("/v1/search", files={"file": ("a.png", b"")})
        await client.post("/v1/search", files=FILE, headers={"x-request-deadline-ms": "0"})
        await client.post("/v1/search", files=FILE, headers={"x-request-deadline-ms": "soon"})
        await client.get("/nowhere")
        app.state.bytes_in_flight = BytesInFlight(10)
        with app.state.bytes_in_flight.hold(10):
            await client.post("/v1/search", files=FILE)
        assert (await client.get("/health/live")).status_code == 200
        found = by(await scraped(client), "lookalike_problems_total", "code")
    assert found == {
        "image_unreadable": 1,
        "unsupported_image_format": 1,
        "deadline_passed": 1,
        "validation_failed": 1,
        "not_found": 1,
        "busy": 1,
    }


async def test_a_crash_is_counted(app: FastAPI) -> None:
    @app.get("/crash")
    async def crash() -> None:
        raise RuntimeError

    async with serving(app) as client:
        await client.get("/crash")
        readings = await scraped(client)
    assert requests(readings) == {("GET", "/crash", "500"): 1}
    assert by(readings, "lookalike_problems_total", "code") == {"internal_error": 1}


async def test_each_stage_is_counted_as_often_as_it_was_called(app: FastAPI) -> None:
    async with serving(app) as client:
        before = await scraped(client)
        await client.post("/v1/images", files=FILE)
        await client.post("/v1/search", files=FILE)
        after = await scraped(client)
    assert moved(before, after, "lookalike_stage_seconds_count", "stage") == {
        "decode": 2,
        "thumbnail": 1,
        "detect": 1,
        "encode": 2,
        "index_read": 5,  # is it there already; does something show the same, this, and the others
        "index_write": 1,
        "store_write": 1,
    }


async def test_bytes_are_counted_and_those_in_hand_are_told(app: FastAPI) -> None:
    async with serving(app) as client:
        before = await scraped(client)
        answer = await client.post("/v1/search", files=FILE)
        bodies: BytesInFlight = app.state.bytes_in_flight
        with bodies.hold(1234):
            after = await scraped(client)
    received = value(after, "lookalike_http_received_bytes_total") or 0
    assert received == int(answer.request.headers["content-length"])
    sent = (value(after, "lookalike_http_sent_bytes_total") or 0) - (
        value(before, "lookalike_http_sent_bytes_total") or 0
    )
    assert sent > len(answer.content)  # and the first scrape
    assert value(after, "lookalike_bytes_in_hand", of="bodies") == 1234
    assert value(after, "lookalike_bytes_in_hand_limit", of="bodies") == 1024**3
    assert value(after, "lookalike_http_requests_in_progress") == 1  # the scrape itself


async def test_it_says_what_runs(app: FastAPI) -> None:
    async with serving(app) as client:
        readings = await scraped(client)
    assert value(readings, "lookalike_ready") == 1
    infos = {
        name: dict(labels) for name, labels in readings if name.endswith("_info") and ("role", "detector") not in labels
    }
    assert infos["lookalike_build_info"]["backend"] == "memory"
    assert infos["lookalike_model_info"]["role"] == "encoder"
    assert infos["lookalike_model_info"]["model"] == "test-model"
    assert infos["lookalike_embedding_space_info"]["dimension"] == "16"
    assert (value(readings, "process_resident_memory_bytes") or 0) > 1e6
    assert (value(readings, "lookalike_disk_free_bytes") or 0) > 0


async def test_figures_of_the_embedded_index_are_told(app: FastAPI) -> None:
    class Embedded(JournalledRepository):
        async def status(self) -> RepositoryStatus:
            figures = {"segments": 3, "points": 7, "optimize_seconds": 1.5, "longest_wait_seconds": 2.5, "owner_pid": 1}
            return RepositoryStatus(backend="edge", images=2, objects=5, details={**figures, "owner_restarts": 1})

    app.state.container.chosen_repository.override(Embedded())
    async with serving(app) as client:
        readings = await scraped(client)
    assert value(readings, "lookalike_index_images") == 2
    assert value(readings, "lookalike_index_objects") == 5
    assert value(readings, "lookalike_index_segments") == 3
    assert value(readings, "lookalike_index_points") == 7
    assert value(readings, "lookalike_index_optimize_seconds_total") == 1.5
    assert value(readings, "lookalike_index_longest_wait_seconds") == 2.5
    assert value(readings, "lookalike_index_owner_restarts_total") == 1
    assert (value(readings, "lookalike_index_process_resident_memory_bytes") or 0) > 0
    assert value(readings, "lookalike_index_optimizing") is None  # which only a server says


async def test_while_the_index_is_away_there_are_no_old_figures(app: FastAPI) -> None:
    class Leaving(JournalledRepository):
        away = False

        async def status(self) -> RepositoryStatus:
            if self.away:
                raise RepositoryUnavailableError("no answer")
            return await super().status()

    repository = Leaving()
    app.state.container.chosen_repository.override(repository)
    async with serving(app) as client:
        assert value(await scraped(client), "lookalike_index_images") == 0
        repository.away = True
        gone = await scraped(client)
        assert value(gone, "lookalike_ready") == 0
        assert value(gone, "lookalike_index_images") is None
        repository.away = False
        assert value(await scraped(client), "lookalike_ready") == 1


async def test_a_scrape_does_not_wait_for_an_index_that_optimizes(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy(JournalledRepository):
        async def status(self) -> RepositoryStatus:
            await asyncio.sleep(60)
            return await super().status()

    monkeypatch.setattr(operations, "PATIENCE_SECONDS", 0.05)
    app.state.container.chosen_repository.override(Busy())
    async with serving(app) as client:
        readings = await asyncio.wait_for(scraped(client), 10)
    assert value(readings, "lookalike_ready") == 0


async def test_parameters_are_refused(app: FastAPI) -> None:
    async with serving(app) as client:
        assert (await client.get("/metrics?name=all")).status_code == 422


async def test_two_applications_share_no_metrics(tmp_path: Path) -> None:
    one, other = an_app(tmp_path / "one"), an_app(tmp_path / "other")
    async with serving(one) as client, serving(other) as stranger:
        await client.get("/health/live")
        assert ("GET", "/health/live", "200") in requests(await scraped(client))
        assert requests(await scraped(stranger)) == {}
