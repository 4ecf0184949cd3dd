"""Indexing: by the command line and through HTTP, with and without objects, beside the limit and the peers."""

import json
import resource
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks import bare, limit
from benchmarks.load import Job, apply
from benchmarks.processes import BIN, Peer, Service, environment, output_of
from benchmarks.report import Section, Target, ratio, table
from benchmarks.workspace import Workspace, index_over_http

WITHOUT_OBJECTS = {"LOOKALIKE_OBJECTS__ENABLED": "false"}
NOT_ISOLATED = WITHOUT_OBJECTS | {"LOOKALIKE_DECODE__ISOLATED": "false"}
A_FEW = 16

BOUND, BOUND_STORING = "limit", "limit, with thumbnails, files and index writes"
BOUND_OBJECTS = "limit, with objects"
OVERLAPPED = "the limit's stages in one loop"
CLI, HTTP = "command line", "HTTP"
CLI_NOT_ISOLATED = "command line, decoding in the service's own process"
CLI_OBJECTS, HTTP_OBJECTS = "command line, with objects", "HTTP, with objects"
WITH_OBJECTS = (BOUND_OBJECTS, CLI_OBJECTS, HTTP_OBJECTS)
TUTORIAL, LITSERVE, LOOP = "peer (a): FastAPI, eager, local mode", "peer (b): LitServe", "peer (c): loop, faiss"


@dataclass(frozen=True, slots=True)
class Rate:
    """Pictures a second; CPU seconds for 1,000 (0: not measured); the load generator's share of a core."""

    per_second: float
    cpu_per_thousand: float = 0.0
    load: float = 0.0


@dataclass(slots=True)
class Rounds:
    """The rates of each way, a value for each round."""

    rates: dict[str, list[Rate]] = field(default_factory=dict)
    stages: list[limit.Stages] = field(default_factory=list)
    seconds_before_first: list[float] = field(default_factory=list)

    def add(self, way: str, rate: Rate) -> None:
        """One round's."""
        self.rates.setdefault(way, []).append(rate)
        print(f"{way}: {rate.per_second:.1f} pictures/s", flush=True)

    def per_second(self, way: str) -> list[float]:
        """Of each round."""
        return [rate.per_second for rate in self.rates[way]]

    def row(self, way: str) -> tuple[str, ...]:
        """Of the table."""
        rates = self.rates[way]
        bound = BOUND_OBJECTS if way in WITH_OBJECTS else BOUND
        cpu, load = (median(getattr(rate, name) for rate in rates) for name in ("cpu_per_thousand", "load"))
        return (
            way,
            f"{median(self.per_second(way)):.0f}",
            f"{ratio(self.per_second(way), self.per_second(bound)):.0%}",
            f"{cpu:.1f}" if cpu else "",
            f"{load:.1%}" if load else "",
        )


def measure(workspace: Workspace) -> Section:
    """All ways in turn, round by round."""
    sizes, rounds = workspace.sizes, Rounds()
    photos, some = workspace.photos(sizes.indexed), workspace.photos(sizes.indexed_with_objects)
    for_peers, staged = workspace.photos(sizes.indexed_by_peers), workspace.photos(sizes.staged)
    for _ in range(sizes.rounds):
        stages = limit.measure(staged, objects=True)
        rounds.stages.append(stages)
        rounds.add(BOUND, Rate(limit.per_second(stages, limit.INDEXING)))
        rounds.add(OVERLAPPED, Rate(1000 / stages[limit.LOOP].alone, stages[limit.LOOP].cpu))
        rounds.add(BOUND_STORING, Rate(limit.per_second(stages, (*limit.INDEXING, *limit.STORING))))
        rounds.add(CLI, _command_line(workspace, photos, WITHOUT_OBJECTS, rounds))
        rounds.add(CLI_NOT_ISOLATED, _command_line(workspace, photos, NOT_ISOLATED, rounds))
        rounds.add(HTTP, _http(workspace, photos, WITHOUT_OBJECTS))
        rounds.add(TUTORIAL, _tutorial(for_peers))
        rounds.add(LITSERVE, _litserve(for_peers))
        rounds.add(LOOP, _loop(for_peers, workspace.root / "loop.npy"))
        rounds.add(BOUND_OBJECTS, Rate(limit.per_second(stages, limit.INDEXING_OBJECTS)))
        rounds.add(CLI_OBJECTS, _command_line(workspace, some, {}, rounds))
        rounds.add(HTTP_OBJECTS, _http(workspace, some, {}))
    names = (
        BOUND,
        OVERLAPPED,
        BOUND_STORING,
        CLI,
        CLI_NOT_ISOLATED,
        HTTP,
        TUTORIAL,
        LITSERVE,
        LOOP,
        BOUND_OBJECTS,
        CLI_OBJECTS,
        HTTP_OBJECTS,
    )
    same = _agreement(for_peers, workspace.root / "loop.npy")
    return Section(
        "Indexing",
        [
            *table(
                ("", "pictures/s", "of the limit", "CPU s per 1,000", "load, of a core"),
                [rounds.row(name) for name in names],
            ),
            f"By HTTP in batches, two at a time, from the first to the last answer. By command line from the first "
            f"picture on: loading the models takes {median(rounds.seconds_before_first):.1f} s before that. "
            f"The peers run the same weights on the same photos: their vectors and ours have a median cosine "
            f"of {same:.4f}. They keep no originals, thumbnails or objects, and nothing on disk.",
            "",
            "Decoding in processes of its own (`LOOKALIKE_DECODE__ISOLATED`, ADR 17), as all other rows of ours do, "
            f"takes {1 - ratio(rounds.per_second(CLI), rounds.per_second(CLI_NOT_ISOLATED)):.0%} of the command "
            "line's rate.",
            "",
            *_limit_table(rounds.stages),
        ],
        _targets(rounds),
    )


def _targets(rounds: Rounds) -> list[Target]:
    by_cli, by_http = rounds.per_second(CLI), rounds.per_second(HTTP)
    wanted = (
        ("indexing by command line, of the limit", by_cli, BOUND, 0.85, "{:.0%}"),
        ("indexing by command line, of peer (a)", by_cli, TUTORIAL, 4.0, "{:.1f} x"),
        ("indexing by command line, of peer (b)", by_cli, LITSERVE, 2.5, "{:.1f} x"),
        ("indexing through HTTP, of the limit", by_http, BOUND, 0.7, "{:.0%}"),
    )
    targets = []
    for name, rates, other, least, form in wanted:
        reached = ratio(rates, rounds.per_second(other))
        measured = form.format(reached)
        if other == BOUND:
            measured += f" ({ratio(rates, rounds.per_second(BOUND_STORING)):.0%} with thumbnails, files, index writes)"
        targets.append(Target(name, f">= {form.format(least)}", measured, reached >= least))
    return targets


def _limit_table(rounds: list[limit.Stages]) -> list[str]:
    stages = {
        name: limit.Stage(median(each[name].alone for each in rounds), median(each[name].cpu for each in rounds))
        for name in rounds[0]
        if name != limit.LOOP
    }
    return [
        "The limit, a picture:",
        "",
        *table(
            ("bare stage", "alone, ms", "CPU with all cores busy, ms"),
            [(name, f"{stage.alone:.2f}", f"{stage.cpu:.2f}") for name, stage in stages.items()],
        ),
        f"The limit of a rate is {limit.CORES} cores / the sum of CPU of decode, preprocess and forward; with objects "
        "of detect and crops too. Alone, a forward pass has all cores; otherwise each has a stream.",
    ]


def _command_line(workspace: Workspace, photos: Path, settings: dict[str, str], rounds: Rounds) -> Rate:
    """`lookalike index` of all photos, less what it takes for a few: the time to load and to close."""
    few = workspace.photos(A_FEW)
    before, before_cpu = _run_index(workspace, few, settings)
    seconds, cpu = _run_index(workspace, photos, settings)
    rounds.seconds_before_first.append(before)
    count = len(list(photos.iterdir())) - A_FEW
    return Rate(count / (seconds - before), (cpu - before_cpu) / count * 1000)


def _run_index(workspace: Workspace, photos: Path, settings: dict[str, str]) -> tuple[float, float]:
    """Seconds, and CPU seconds."""
    with_settings = environment(workspace.fresh("cli")) | settings
    started, cpu = time.perf_counter(), _cpu_of_children()
    output_of([str(BIN / "lookalike"), "index", str(photos)], environment=with_settings)
    return time.perf_counter() - started, _cpu_of_children() - cpu


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _http(workspace: Workspace, photos: Path, settings: dict[str, str]) -> Rate:
    with Service(workspace.fresh("http"), **settings) as service:
        cpu = service.cpu_seconds()
        answers = index_over_http(service.port, photos)
        cpu = service.cpu_seconds() - cpu
    count = len(list(photos.iterdir()))
    return Rate(count / answers.seconds, cpu / count * 1000, answers.share_of_core)


def _tutorial(photos: Path) -> Rate:
    with Peer("tutorial") as peer:
        job = Job(port=peer.port, path="/images", pictures=str(photos), field="files", per_body=16, clients=2)
        return _peer_rate(peer, job, photos)


def _litserve(photos: Path) -> Rate:
    with Peer("litserve_server") as peer:
        job = Job(port=peer.port, path="/predict", pictures=str(photos), fields=(("op", "index"),), clients=16)
        return _peer_rate(peer, job, photos)


def _peer_rate(peer: Peer, job: Job, photos: Path) -> Rate:
    cpu = peer.cpu_seconds()
    answers = apply(job)
    count = len(list(photos.iterdir()))
    return Rate(count / answers.seconds, (peer.cpu_seconds() - cpu) / count * 1000, answers.share_of_core)


def _loop(photos: Path, vectors: Path) -> Rate:
    command = [sys.executable, "-m", "benchmarks.peers.plain_loop", str(photos), "--save", str(vectors)]
    done = json.loads(output_of(command))
    return Rate(done["pictures"] / done["seconds"], done["cpu_seconds"] / done["pictures"] * 1000)


def _agreement(photos: Path, vectors: Path) -> float:
    """The median cosine of the peers' vectors to what our graph computes."""
    encoder, theirs = bare.Encoder(), np.load(vectors)
    paths = sorted(photos.glob("*.jpg"))[: 2 * A_FEW]
    ours = np.stack([encoder.one(encoder.fit(bare.decode(path.read_bytes()))) for path in paths])
    return float(np.median(np.sum(ours * theirs[: len(ours)], axis=1)))
