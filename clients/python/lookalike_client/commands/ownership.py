"""Which folder a name belongs to, with which keys begin: the one that used it first."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import typer

from lookalike_client import AsyncLookalike
from lookalike_client.commands.files import Found, source_of


def with_keys(found: Sequence[Found], name: str | None) -> Iterator[tuple[Found, str, str | None]]:
    """The files with their keys, and of two that come to one key, why the second fails."""
    paths: dict[str, Path] = {}
    for item in found:
        if item.unreadable is None:
            key = item.key(name)
            first = paths.setdefault(key, item.path)
            taken = f"It comes to the key {key}, which is that of {first}."
            yield item, key, None if first == item.path else taken


async def refuse_taken_names(client: AsyncLookalike, roots: Iterable[Path]) -> None:
    """Raise BadParameter where a folder has the name of another one: they would replace each other's pictures."""
    for root in dict.fromkeys(roots):
        key = Found(root / "x", root=root).key(None).removesuffix("x")
        taken = await client.list_images(limit=1, filter={"all": [{"field": "key", "prefix": key}]})
        for image in taken.items:
            ours = source_of(root / "x").removesuffix("x")
            if image.source != ours + (image.key or "").removeprefix(key):
                raise _taken(key, (image.source or "another").removesuffix((image.key or "").removeprefix(key)))


def refuse_taken_key(key: str, owner: str | None, source: str) -> None:
    """Raise BadParameter where what is stored under a file's key is the picture of another folder's file."""
    if owner not in (None, source):
        raise _taken(key, str(owner))


def _taken(key: str, owner: str) -> typer.BadParameter:
    """The refusal of a folder that has the name of another one, `owner`, or of a file of that."""
    name = key.partition("/")[0]
    return typer.BadParameter(
        f"{key} is that of {owner} here, which would be replaced. Choose another name with --as. If the folder has "
        f"moved, say so with --as {name}.",
        param_hint="PATH",
    )


def refuse_two_folders(found: Sequence[Found]) -> None:
    """Raise BadParameter where two folders of one name are given."""
    roots: dict[str, Path] = {}
    for item in found:
        first = roots.setdefault(item.root_name, item.root)
        if first.resolve() != item.root.resolve():
            raise typer.BadParameter(
                f"{first} and {item.root} have the same name, so that their pictures would have the same keys. Index "
                "them one after the other, one of them with --as.",
                param_hint="PATH",
            )
