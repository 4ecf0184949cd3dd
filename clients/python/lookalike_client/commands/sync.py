"""`sync`."""

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike_client.commands.arguments import As, Exif, ExifPlace, exif_parts
from lookalike_client.commands.confirmation import consents_to_removal
from lookalike_client.commands.connection import ApiKey, Program, Url
from lookalike_client.commands.interruption import finish_on_interrupt, say_how_to_go_on
from lookalike_client.commands.program import FAILED, MISUSED, fail
from lookalike_client.commands.selection import Exclude

if TYPE_CHECKING:
    from lookalike_client.commands.syncing.look import Look
    from lookalike_client.commands.syncing.session import Session

FOLDER_AWAY = 3
"""The exit code where the folder is not there, is empty or cannot be read."""


def sync(
    ctx: typer.Context,
    root: Annotated[
        Path, typer.Argument(metavar="ROOT", file_okay=False, help="The folder whose pictures are to be indexed.")
    ],
    name: As = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on, and follow each change until Ctrl-C.")] = False,
    poll: Annotated[
        bool,
        typer.Option("--poll", help="With --watch: look at the folder every few seconds, as network drives need it."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be done.")] = False,
    keep_missing: Annotated[bool, typer.Option("--keep-missing", help="Remove nothing.")] = False,
    exclude: Exclude = None,
    exif: Exif = False,
    exif_place: ExifPlace = False,
    again: Annotated[
        bool, typer.Option("--again", help="Read all files anew, and try those again that failed before.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Remove what is gone, also more than a tenth, without asking.")
    ] = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Keep the index as a folder is: add, replace, rename and remove pictures. Keys are those that `index` gives.

    A file that has moved keeps its picture's metadata. Where more than a tenth of the folder's pictures are gone, it
    asks; where the folder is empty or not there, it removes nothing and exits 3: a drive may not be mounted. Files that
    failed are tried again once they change. What is passed over (see --exclude) is neither sent nor removed. Exits 1 if
    a file failed that did not fail before, 2 if pictures were kept for want of --yes.

    Example: [bold]lookalike sync ~/Pictures --url http://127.0.0.1:8000[/]
    """
    from lookalike_client.commands.indexing import GO_ON
    from lookalike_client.commands.state import open_state
    from lookalike_client.commands.syncing.folder import Folder, FolderAwayError
    from lookalike_client.commands.syncing.session import Session

    if watch and dry_run:
        raise typer.BadParameter("does not go with --dry-run", param_hint="--watch")
    program: Program = ctx.obj
    try:
        with open_state(program.state_folder()) as state:
            session = Session(
                folder=Folder(root, name, exclude or ()),
                connect=partial(program.connect, url, api_key),
                state=state,
                consent=partial(_consents, root, keep_missing=keep_missing, yes=yes, may_ask=not watch),
                again=again,
                exif=exif_parts(exif, exif_place),
            )
            if watch:
                with finish_on_interrupt() as interruption:
                    asyncio.run(session.watch(interruption, poll=poll))
                return
            code = _run(session, dry_run=dry_run, keep_missing=keep_missing)
    except FolderAwayError as error:
        fail(str(error), FOLDER_AWAY)
    except KeyboardInterrupt:  # before it began, or a second time
        say_how_to_go_on(GO_ON)
        raise
    raise typer.Exit(code)


def _run(session: "Session", *, dry_run: bool, keep_missing: bool) -> int:
    """One run; the exit code."""
    from lookalike_client.commands.indexing import GO_ON
    from lookalike_client.commands.syncing.look import InterruptedLookError

    with finish_on_interrupt() as interruption:
        try:
            found = asyncio.run(session.look(interruption))
        except InterruptedLookError:
            say_how_to_go_on(GO_ON)
            return interruption.code
    if dry_run:
        _print_plan(found, keep_missing=keep_missing)
        return 0
    # Asked outside of the event loop: inside of it, Ctrl-C would not end the question.
    remove = session.consent(found)
    with finish_on_interrupt() as interruption:
        tally = asyncio.run(session.carry_out(found, interruption, remove=remove))
    if interruption.requested:
        say_how_to_go_on(GO_ON)
        return interruption.code
    if tally.stopped_by is not None:
        print(f"lookalike: stopped: {tally.stopped_by} {GO_ON}", file=sys.stderr)
    if tally.failures:
        return FAILED
    return MISUSED if found.plan.gone and not remove and not keep_missing else 0


def _consents(root: Path, found: "Look", *, keep_missing: bool, yes: bool, may_ask: bool) -> bool:
    """Whether to remove what is gone. If that is much, the user is asked, or told where nobody can answer."""
    plan = found.plan
    if keep_missing or not plan.gone:
        return False
    before = f", besides {plan.removed_before} that were removed since the start" if plan.removed_before else ""
    told = f"{len(plan.gone)} of the {plan.ours} pictures of {root} are gone{before}."
    return consents_to_removal(told, much=plan.needs_consent, yes=yes, may_ask=may_ask)


def _print_plan(found: "Look", *, keep_missing: bool) -> None:
    from lookalike_client.commands.selection import passed_over_text

    plan = found.plan
    steps = {
        "create": [file.key for file in plan.create if file.found.size],
        "replace": [file.key for file in plan.replace if file.found.size],
        "renew": [file.key for file in plan.renew],
        "rename": [f"{move.before} -> {move.file.key}" for move in plan.rename],
        "remove": [] if keep_missing else list(plan.gone),
        "fail": [
            *(
                f"{folder.path}: The folder cannot be read: {folder.unreadable}."
                for folder in found.contents.unreadable
            ),
            *(f"{file.found.path}: {taken}" for file, taken in found.refused),
            *(f"{file.found.path}: It is empty." for file in plan.send if not file.found.size),
        ],
    }
    for step, lines in steps.items():
        for line in lines:
            print(step, line)
    counts = "".join(f"{len(lines)} to {step}, " for step, lines in steps.items() if lines)
    failed = f", {plan.failed_before.total()} failed before" if plan.failed_before else ""
    print(f"{counts}{plan.existed} existed{failed}{passed_over_text(found.contents.passed_over)}")
    if steps["remove"] and plan.needs_consent:
        print(f"More than a tenth of the {plan.ours} pictures would be removed: that is asked first, or needs --yes.")
