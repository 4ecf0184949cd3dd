"""`lookalike check`."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from entrypoints.remedies import SENTENCES

if TYPE_CHECKING:
    from application.check_integrity import Finding


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(check)


def check(
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Render missing thumbnails anew; remove files and objects that belong to no image."
        ),
    ] = False,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep", help="Read every original and compare its SHA-256, not only its size; decode every thumbnail."
        ),
    ] = False,
    forget_lost: Annotated[
        bool, typer.Option("--forget-lost", help="With --repair: remove images from the index whose original is lost.")
    ] = False,
) -> None:
    """Verify originals, thumbnails, records, vectors and objects against each other.

    Says what is wrong, one line each, and exits with 1 if something is and was not repaired. The embedded index must
    not be in use; on a Qdrant server the service may run meanwhile. No model is needed.

    Example: [bold]lookalike check --deep[/]
    """
    if forget_lost and not repair:
        raise typer.BadParameter("it is a way of repairing: give --repair too", param_hint="--forget-lost")
    images, findings = asyncio.run(_check(repair=repair, deep=deep, forget_lost=forget_lost))
    for finding in findings:
        print(f"{finding.id}  {finding.kind}: {_described(finding)}")
    print(f"{images} pictures checked: {_summary(findings)}")
    if not all(finding.mended for finding in findings):
        raise typer.Exit(1)


async def _check(*, repair: bool, deep: bool, forget_lost: bool) -> tuple[int, list["Finding"]]:
    from entrypoints.cli.deployment import open_index
    from lookalike_client.commands.progress import progress

    images = 0
    findings: list[Finding] = []
    async with open_index() as container:
        try:
            with progress("Checking") as show:
                check_integrity = container.check_integrity()
                async for step in check_integrity(deep=deep, repair=repair, forget_lost=forget_lost):
                    images = step.done
                    findings += step.findings
                    show(step.done, step.total)
        finally:
            await container.decoder().close()
    return images, findings


def _described(finding: "Finding") -> str:
    return f"{finding.reason}. {'Mended.' if finding.mended else SENTENCES[finding.remedy]}"


def _summary(findings: Sequence["Finding"]) -> str:
    kinds = Counter(finding.kind for finding in findings)
    if not kinds:
        return "originals, thumbnails, records, vectors and objects agree."
    mended = sum(finding.mended for finding in findings)
    counted = ", ".join(f"{count} x {kind}" for kind, count in kinds.items())
    return f"{counted}. {mended} mended, {kinds.total() - mended} not."
