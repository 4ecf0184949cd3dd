"""Searching: latency, throughput and memory by clients and size of the index, beside the limit and the peers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks import limit
from benchmarks.http11 import call
from benchmarks.load import Answers, Job, apply
from benchmarks.processes import Memory, Peer, Service
from benchmarks.report import Section, Target, ratio, table
from benchmarks.workspace import Workspace

PAUSE_WHEN_BUSY = 0.25
"""Seconds that a caller waits after a 503: less than any Retry-After, and enough not to be an attack."""

PEERS = {"(a) FastAPI, eager, local mode": "tutorial", "(b) LitServe, faiss": "litserve_server"}
PEER_SIZE = 10_000

MANY, MORE = 32, 128


@dataclass(frozen=True, slots=True)
class Searched:
    """What one number of clients got, and the most memory meanwhile."""

    answers: Answers
    peak: Memory


@dataclass(slots=True)
class Rounds:
    """Of one index: the limit and the service in turn."""

    stages: list[limit.Stages] = field(default_factory=list)
    by_clients: dict[int, list[Searched]] = field(default_factory=dict)
    peers: dict[tuple[str, int], list[Answers]] = field(default_factory=dict)

    def latency(self) -> list[float]:
        """Milliseconds of the bare stages, each round."""
        return [limit.latency(stages, limit.SEARCH) for stages in self.stages]

    def bound(self) -> list[float]:
        """Searches a second that the cores could do, each round."""
        return [limit.per_second(stages, limit.SEARCH) for stages in self.stages]

    def percentile(self, clients: int, percent: float) -> list[float]:
        """Milliseconds, each round."""
        return [run.answers.percentile(percent) for run in self.by_clients[clients]]

    def per_second(self, clients: int) -> list[float]:
        """Good answers a second, each round."""
        return [run.answers.per_second for run in self.by_clients[clients]]

    def statuses(self, clients: int) -> dict[int, int]:
        """Of all rounds."""
        counts: dict[int, int] = {}
        for run in self.by_clients[clients]:
            for status, count in run.answers.counts.items():
                counts[status] = counts.get(status, 0) + count
        return counts

    def peak(self, clients: int) -> Memory:
        """The median of the rounds' peaks."""
        peaks = [run.peak for run in self.by_clients[clients]]
        return Memory(median(peak.pss for peak in peaks), median(peak.anonymous for peak in peaks))


def measure(workspace: Workspace) -> Section:
    """Every size in turn, round by round."""
    sizes = workspace.sizes
    peer_size = min(PEER_SIZE, max(sizes.indexes))
    queries, staged = workspace.photos(sizes.queries, seed=1), workspace.photos(sizes.staged)
    rounds = {size: Rounds() for size in sizes.indexes}
    for size in sizes.indexes:
        workspace.index(size)
    for _ in range(sizes.rounds):
        for size, of_size in rounds.items():
            of_size.stages.append(limit.measure(staged, index=workspace.index(size)))
            _search(workspace, of_size, workspace.index(size), queries)
            if size == peer_size:
                _search_peers(workspace, of_size, size, queries)
    return Section(
        "Search",
        [
            *_table(rounds),
            "The bare sum is decode + preprocess + forward + query, one picture at a time; the limit is "
            f"{limit.CORES} cores / the CPU that these take with all cores busy. Memory is the peak of the service and "
            "its index process: proportional set size, and the anonymous part of it (the rest are mapped files, which "
            "the kernel drops when others need room). A client that is told 503 waits "
            f"{PAUSE_WHEN_BUSY:g} s. The index of {max(sizes.photos):,} pictures is made of photos, larger ones of "
            "clustered vectors put in through the port.",
            "",
            *_peer_table(rounds[peer_size], peer_size),
            *_keep_alive(workspace, queries),
        ],
        _targets(rounds),
    )


def _search(workspace: Workspace, rounds: Rounds, data_dir: Path, queries: Path) -> None:
    with Service(data_dir) as service:
        for clients in workspace.sizes.clients:
            _run(service.port, queries, clients, workspace.sizes.warming_seconds)
            service.forget_peak()
            answers = _run(service.port, queries, clients, workspace.sizes.seconds)
            peak = service.peak.most(service.memory())
            rounds.by_clients.setdefault(clients, []).append(Searched(answers, peak))
            print(f"{clients} clients: {answers.per_second:.0f}/s, p50 {answers.percentile(50):.0f} ms", flush=True)
        if call(service.port, "GET", "/health/ready")[0] != 200:
            raise RuntimeError("the service is not ready after the load")


def _run(port: int, queries: Path, clients: int, seconds: float, *, keep_alive: bool = True) -> Answers:
    pause = PAUSE_WHEN_BUSY if clients > MANY else None
    return apply(
        Job(
            port=port,
            path="/v1/search",
            pictures=str(queries),
            clients=clients,
            seconds=seconds,
            keep_alive=keep_alive,
            pause_when_busy=pause,
        )
    )


def _search_peers(workspace: Workspace, rounds: Rounds, size: int, queries: Path) -> None:
    for name, module in PEERS.items():
        path, fields = ("/search", ()) if module == "tutorial" else ("/predict", (("op", "search"),))
        with Peer(module, vectors=workspace.vectors(size)) as peer:
            for clients in workspace.sizes.peer_clients:
                for seconds in (workspace.sizes.warming_seconds, workspace.sizes.seconds):
                    job = Job(
                        port=peer.port,
                        path=path,
                        fields=fields,
                        pictures=str(queries),
                        clients=clients,
                        seconds=seconds,
                    )
                    answers = apply(job)
                rounds.peers.setdefault((name, clients), []).append(answers)
                print(f"peer {name}, {clients} clients: {answers.per_second:.0f}/s", flush=True)


def _table(rounds: dict[int, Rounds]) -> list[str]:
    rows: list[Sequence[str]] = []
    for size, of_size in rounds.items():
        bare, bound = median(of_size.latency()), median(of_size.bound())
        rows.append((f"**{size:,}**", "bare", f"{bare:.1f}", "", "", f"{bound:.0f}", "", "", "", ""))
        for clients in of_size.by_clients:
            peak = of_size.peak(clients)
            load = median(run.answers.share_of_core for run in of_size.by_clients[clients])
            rows.append(
                (
                    "",
                    str(clients),
                    *(f"{median(of_size.percentile(clients, percent)):.1f}" for percent in (50, 95, 99)),
                    f"{median(of_size.per_second(clients)):.0f}",
                    f"{ratio(of_size.per_second(clients), of_size.bound()):.0%}",
                    f"{peak.pss:.0f}",
                    f"{peak.anonymous:.0f}",
                    f"{load:.1%}",
                )
            )
    header = ("pictures", "clients", "p50, ms", "p95", "p99", "searches/s", "of the limit")
    return table((*header, "memory, MiB", "anonymous", "load, of a core"), rows)


def _peer_table(rounds: Rounds, size: int) -> list[str]:
    rows = []
    for (name, clients), runs in rounds.peers.items():
        p50, p99 = (median(run.percentile(percent) for run in runs) for percent in (50, 99))
        rates = [run.per_second for run in runs]
        ours = f"{ratio(rounds.per_second(clients), rates):.1f} x" if clients in rounds.by_clients else ""
        rows.append((name, str(clients), f"{p50:.0f}", f"{p99:.0f}", f"{median(rates):.0f}", ours))
    return [
        f"The peers over {size:,} vectors, which they hold in memory and compare one by one:",
        "",
        *table(("peer", "clients", "p50, ms", "p99", "searches/s", "ours"), rows),
    ]


def _keep_alive(workspace: Workspace, queries: Path) -> list[str]:
    """Searches with a connection kept, and with one opened for each."""
    rows = []
    size = workspace.sizes.photos[0]
    with Service(workspace.index(size)) as service:
        for clients in (1, 8):
            kept, opened = (
                _run(service.port, queries, clients, workspace.sizes.seconds, keep_alive=keep) for keep in (True, False)
            )
            rows.append(
                (
                    str(clients),
                    *(f"{run.percentile(50):.1f}" for run in (kept, opened)),
                    *(f"{run.per_second:.0f}" for run in (kept, opened)),
                )
            )
    header = ("clients", "p50 kept, ms", "p50 opened, ms", "searches/s kept", "opened")
    return [f"Keep-alive, {size:,} pictures: connections kept, or opened for each search:", "", *table(header, rows)]


def _targets(rounds: dict[int, Rounds]) -> list[Target]:
    over = {size: -_gain(each.latency(), each.percentile(1, 50)) for size, each in rounds.items()}
    through = {size: ratio(each.per_second(MANY), each.bound()) for size, each in rounds.items()}
    tail = {size: ratio(each.percentile(MANY, 99), each.percentile(MANY, 50)) for size, each in rounds.items()}
    memory = {size: each.peak(MORE).pss / each.peak(MANY).pss for size, each in rounds.items()}
    anonymous = {size: each.peak(MORE).anonymous / each.peak(MANY).anonymous for size, each in rounds.items()}
    statuses = {size: each.statuses(MORE) for size, each in rounds.items()}
    slowest = max(run.answers.slowest_of(503) for each in rounds.values() for run in each.by_clients[MORE])
    return [
        _target("search, 1 client: p50 over the bare sum", "<= 3 ms", over, "{:.1f} ms", most=3),
        _target(f"search, {MANY} clients: of the limit", ">= 80%", through, "{:.0%}", least=0.8),
        _target(f"search, {MANY} clients: p99 of p50", "<= 3 x", tail, "{:.1f} x", most=3),
        Target(
            f"search, {MORE} clients: nothing but 200 and prompt 503",
            "200, 503 within 1 s",
            "; ".join(f"{size:,}: {json.dumps(counts)}" for size, counts in statuses.items())
            + f"; slowest 503 after {slowest:.0f} ms",
            all(set(counts) <= {200, 503} for counts in statuses.values()) and slowest <= 1000,
        ),
        _target(f"memory at {MORE} clients, of that at {MANY}", "<= 1.2 x", memory, "{:.2f} x", most=1.2),
        _target(f"anonymous memory at {MORE} clients, of that at {MANY}", "<= 1.2 x", anonymous, "{:.2f} x", most=1.2),
    ]


def _gain(values: Sequence[float], others: Sequence[float]) -> float:
    """The median of what each round's value is over the same round's other one."""
    return median(value - other for value, other in zip(values, others, strict=True))


def _target(
    name: str,
    wanted: str,
    by_size: dict[int, float],
    form: str,
    *,
    most: float = float("inf"),
    least: float = float("-inf"),
) -> Target:
    measured = "; ".join(f"{size:,}: {form.format(value)}" for size, value in by_size.items())
    return Target(name, wanted, measured, all(least <= value <= most for value in by_size.values()))
