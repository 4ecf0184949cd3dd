"""What a section gives back: lines of Markdown, and how the targets stand."""

import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

import openvino
import psutil

from benchmarks.limit import CORES

PACKAGES = ("openvino", "qdrant-edge-py", "pillow", "fastapi", "uvicorn")
PEER_PACKAGES = ("torch", "timm", "qdrant-client", "litserve", "faiss-cpu")
NOTES = Path(__file__).parent / "NOTES.md"


@dataclass(frozen=True, slots=True)
class Target:
    """One that was set beforehand, and what became of it."""

    name: str
    wanted: str
    measured: str
    met: bool


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report."""

    title: str
    lines: Sequence[str]
    targets: Sequence[Target] = field(default=())

    @property
    def text(self) -> list[str]:
        """With its heading."""
        return [f"## {self.title}", "", *self.lines, ""]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table, and an empty line."""
    lines = [header, ["---"] * len(header), *rows]
    return [*(f"| {' | '.join(cells)} |" for cells in lines), ""]


def ratio(values: Sequence[float], others: Sequence[float]) -> float:
    """The median of what each round's value is of the same round's other one."""
    return median(value / other for value, other in zip(values, others, strict=True))


def heading() -> list[str]:
    """Machine, versions and date."""
    return [
        "# Measured",
        "",
        "Made by `make bench`. The machine may be shared: compare rows of one run, not runs. Rounds are interleaved, "
        "figures are medians of the rounds, and ratios medians of each round's ratio.",
        "",
        f"- {datetime.now(UTC):%Y-%m-%d}, {_processor()}, {CORES} cores, "
        f"{'bf16' if has_bf16() else 'no bf16'}, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"Python {platform.python_version()}",
        f"- lookalike {version('lookalike')}, {_versions(PACKAGES)}; peers: {_versions(PEER_PACKAGES)}",
        "- default settings (embedded index, OpenVINO); photos of about 400 x 533 pixels made from the examples; the "
        "load comes from the same machine, from one thread of another process, and its share of a core is quoted",
        "",
    ]


def verdicts(targets: Sequence[Target]) -> list[str]:
    """The table of targets, and what was written by hand about those that are not met."""
    if not targets:
        return []
    rows = [(each.name, each.wanted, each.measured, "met" if each.met else "**not met**") for each in targets]
    notes = NOTES.read_text().rstrip().splitlines() if NOTES.exists() else []
    where = "" if has_bf16() else " This machine has no bf16, which they are meant for."
    return [
        "## Targets",
        "",
        f"{sum(each.met for each in targets)} of {len(targets)} met.{where}",
        "",
        *table(("", "target", "measured", ""), rows),
        *notes,
    ]


def has_bf16() -> bool:
    """Whether OpenVINO computes in bf16 here."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _versions(packages: Iterable[str]) -> str:
    return ", ".join(f"{name} {version(name)}" for name in packages)


def _processor() -> str:
    """The processor's name, as the kernel gives it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
