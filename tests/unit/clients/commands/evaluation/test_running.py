"""Whole runs on the application in this process: the same numbers as from its vectors in plain NumPy."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import typer
from dependency_injector import providers
from typing_extensions import override

from domain.embeddings import normalised
from lookalike_client import AsyncLookalike, Key
from lookalike_client.commands import alone
from lookalike_client.commands.connection import Purpose
from lookalike_client.commands.evaluation import asking
from lookalike_client.commands.evaluation.measures import Measure
from lookalike_client.commands.evaluation.report import print_json, print_report
from lookalike_client.commands.evaluation.results import Report
from lookalike_client.commands.evaluation.running import Plan, run
from lookalike_client.commands.evaluation.truth import Pair
from tests.builders import an_embedding, an_image
from tests.fakes import JournalledRepository
from tests.leave_one_out import ranked, worth
from tests.unit.entrypoints.application import an_app

KINDS = [f"kind {number % 7}" for number in range(60)] + ["alone", "alone too"]
MEASURES = [Measure("P", 5), Measure("recall", 5), Measure("mAP", 15)]


class Index:
    """The application with vectors around the centres of kinds. `connect` is a command's way to it."""

    def __init__(self, directory: Path) -> None:
        self.repository = JournalledRepository()
        self.app = an_app(directory)
        self.app.state.container.chosen_repository.override(providers.Object(self.repository))
        self.purposes: list[Purpose] = []

    async def fill(self, kinds: list[str | list[str] | None]) -> None:
        self.images = [
            an_image(
                number,
                embedding=normalised(an_embedding(hash_of(kind)) + 1.2 * an_embedding(number + 1000)),
                metadata={} if kind is None else {"kind": kind},
            )
            for number, kind in enumerate(kinds)
        ]
        await self.repository.upsert(self.images)

    @property
    def embeddings(self) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
        return np.stack([image.embedding for image in self.images])

    @asynccontextmanager
    async def connect(
        self, url: str | None, api_key: str | None, purpose: Purpose, model: Path | None = None
    ) -> AsyncIterator[AsyncLookalike]:
        assert (url, api_key, model) == (None, None, None)
        self.purposes.append(purpose)
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with AsyncLookalike("http://here", transport=transport, retries=0) as client:
            yield client

    async def report(self, plan: Plan) -> Report:
        return await run(plan, self.connect, None, None)


def hash_of(kind: object) -> int:
    return sum(str(kind).encode())


def a_plan(**changes: Any) -> Plan:
    plan = Plan(
        by="metadata.kind",
        pairs=None,
        truth="metadata.kind",
        among=None,
        measures=MEASURES,
        depth=15,
        sample=None,
        seed=0,
        model=None,
        first={},
        second=None,
        worst=None,
    )
    return replace(plan, **changes)


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[Index]:
    index = Index(tmp_path)
    service = index.app.state.container.run_service()
    await service.open()
    await index.fill(KINDS)
    yield index
    await service.close()


async def test_the_numbers_are_those_of_plain_numpy(index: Index) -> None:
    report = await index.report(a_plan())

    assert (report.queries, report.pictures, index.purposes) == (60, 62, [Purpose.SEARCH])
    [result] = report.results
    expected = worth(index.embeddings, KINDS, k=5, depth=15)
    assert [each.value for each in result.measures.values()] == pytest.approx(expected, abs=1e-12)
    assert 0.2 < expected[0] < 0.9, "neither all nor nothing"
    assert all(each.low < each.value < each.high for each in result.measures.values())
    assert {group.name: group.queries for group in result.groups} == {f"kind {n}": 9 if n < 4 else 8 for n in range(7)}
    for group in result.groups:
        rows = [row for row, kind in enumerate(KINDS) if kind == group.name]
        right = [KINDS[place] == group.name for row in rows for place in ranked(index.embeddings)[row][:5]]
        assert group.measures["P@5"] == pytest.approx(np.mean(right))

    # Cut-offs are of the first matches of all queries.
    cosines = np.sort(index.embeddings @ index.embeddings.T)[:, ::-1][:60, 1:16].astype(np.float64)
    hits = np.array([[KINDS[place] == KINDS[row] for place in ranked(index.embeddings)[row][:15]] for row in range(60)])
    assert result.cut_offs.keys() == {"score", "likeness"}
    for each in result.cut_offs["score"]:
        assert each.keeps == pytest.approx((cosines[hits] >= each.at).mean(), abs=2 / hits.sum())
        assert each.lets_through == pytest.approx((cosines[~hits] >= each.at).mean(), abs=2 / (~hits).sum())


async def test_nothing_depends_on_how_many_are_asked_at_once(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = a_plan(sample=40, second={"diversity": 0.5})
    reports = []
    for concurrency in (1, 8, 50):
        monkeypatch.setattr(asking, "CONCURRENCY", concurrency)
        reports.append(await index.report(plan))
    assert reports[0] == reports[1] == reports[2]
    assert await index.report(replace(plan, seed=1)) != reports[0]


async def test_pictures_without_the_key_are_left_out_of_all(index: Index) -> None:
    await index.fill([*KINDS, *[None] * 30])
    report = await index.report(a_plan())
    labelled = index.embeddings[: len(KINDS)]
    assert [each.value for each in report.results[0].measures.values()] == pytest.approx(
        worth(labelled, KINDS, k=5, depth=15), abs=1e-12
    )
    assert report.pictures == 62
    assert report.notes[0].startswith("Without metadata.kind, left out as queries and as matches: 30")


async def test_a_filter_is_the_whole_world(index: Index) -> None:
    some = [f"kind {number}" for number in range(3)]
    report = await index.report(a_plan(among={"all": [{"field": "metadata.kind", "in": some}]}))
    rows = [row for row, kind in enumerate(KINDS) if kind in some]
    expected = worth(index.embeddings[rows], [KINDS[row] for row in rows], k=5, depth=15)
    assert [each.value for each in report.results[0].measures.values()] == pytest.approx(expected, abs=1e-12)


async def test_arrays_share_any_value(index: Index) -> None:
    kinds = [["a", "b"], ["b", "c"], ["c"], "a", ["d"]]
    await index.fill(kinds)
    report = await index.report(
        a_plan(measures=[Measure("recall", 4)], among={"any": [{"field": "metadata.kind", "in": list("abcd")}]})
    )
    assert (report.queries, report.results[0].measures["recall@4"].value) == (4, 1.0)


async def test_two_settings_are_compared_query_by_query(index: Index) -> None:
    report = await index.report(a_plan(second={"diversity": 0.7}))
    default, diverse = report.results
    assert [result.setting for result in report.results] == ["default", "diversity=0.7"]
    for name, difference in report.differences.items():
        assert difference.value == pytest.approx(diverse.measures[name].value - default.measures[name].value)
    assert report.differences["P@5"].high < 0, "others come forward"
    assert report.agreement.keys() == {5, 15}
    assert report.agreement[5] < 1
    same = await index.report(a_plan(second={"exact": True}))
    assert same.agreement == {5: 1.0, 15: 1.0}
    assert {(each.low, each.high) for each in same.differences.values()} == {(0.0, 0.0)}


async def test_pairs_say_what_is_alike(index: Index) -> None:
    ids = [image.record.id for image in index.images]
    pairs = [Pair(ids[0], ids[1], alike=True), Pair(ids[0], ids[2], alike=False), Pair(ids[0], Key("?"), alike=True)]
    report = await index.report(a_plan(by=None, pairs=pairs, measures=[Measure("mAP", 61)], depth=61))
    ranks = [1 + list(ranked(index.embeddings)[a]).index(b) for a, b in ((0, 1), (1, 0))]
    assert (report.queries, report.pictures) == (2, 62)
    assert report.results[0].measures["mAP"].value == pytest.approx(np.mean([1 / rank for rank in ranks]))
    among = {"all": [{"field": "metadata.kind", "eq": KINDS[0]}]}
    with pytest.raises(typer.BadParameter, match="nothing to measure"):
        await index.report(a_plan(by=None, pairs=pairs, among=among))


async def test_pictures_that_go_meanwhile_are_counted(index: Index) -> None:
    gone = index.images[0].record.id
    first = asking.listed

    async def listed(*given: Any) -> Any:
        pictures = await first(*given)
        await index.repository.delete([gone])
        return pictures

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lookalike_client.commands.evaluation.running.listed", listed)
        report = await index.report(a_plan())
    assert (report.queries, report.notes[-1]) == (59, "Removed meanwhile: 1.")


async def test_cut_offs_are_told_by_likeness_too_where_the_service_tells_it(index: Index) -> None:
    class Telling(httpx.ASGITransport):
        @override
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = await super().handle_async_request(request)
            answer = json.loads(await response.aread())
            for match in answer.get("matches", ()):
                match["likeness"] = (match["score"] + 1) / 2
            return httpx.Response(response.status_code, json=answer)

    @asynccontextmanager
    async def connect(*_: Any) -> AsyncIterator[AsyncLookalike]:
        async with AsyncLookalike("http://here", transport=Telling(index.app)) as client:
            yield client

    [result] = (await run(a_plan(), connect, None, None)).results
    score, likeness = (
        next(each for each in result.cut_offs[scale] if each.suggested) for scale in ("score", "likeness")
    )
    assert likeness.at == pytest.approx((score.at + 1) / 2, abs=0.002)
    assert likeness.keeps == pytest.approx(score.keeps, abs=0.02)


async def test_there_may_be_nothing_to_measure(index: Index) -> None:
    with pytest.raises(typer.BadParameter, match="no two pictures share a value"):
        await index.report(a_plan(by="metadata.colour"))


async def test_a_report_is_printed_and_told_as_json(index: Index, capsys: pytest.CaptureFixture[str]) -> None:
    report = await index.report(a_plan(second={"diversity": 0.7}, sample=50))
    capsys.readouterr()
    print_json(report)
    told = json.loads(capsys.readouterr().out)
    assert told["results"][0]["measures"]["P@5"]["value"] == report.results[0].measures["P@5"].value
    assert told["notes"][-1] == "A sample is searched with: 50 of 60."
    assert [each["average_precision"] for each in told["results"][0]["worst"]] == sorted(
        each["average_precision"] for each in told["results"][0]["worst"]
    )
    print_report(report)
    lines = capsys.readouterr().out
    for text in ("50 queries among 62 pictures, right by metadata.kind", "diversity=0.7", "worse", "Score at least"):
        assert text in lines
    assert lines.count("tells them apart best") == 2, "by score and by likeness"


async def test_what_is_too_little_is_named(index: Index) -> None:
    report = await index.report(a_plan())
    value = report.results[0].measures["P@5"].value
    assert report.below({"P@5": value, "mAP": 0.0}) == []
    assert report.below({"P@5": value + 0.01}) == [f"P@5 is {value:.4f} (default), less than {value + 0.01:g}"]


def test_the_client_alone_runs_no_model() -> None:
    with pytest.raises(typer.BadParameter, match="where the service is installed"):
        alone.connect("http://127.0.0.1:9", None, Purpose.TRIAL, Path())
