"""Which folder a name belongs to, with which keys begin: the one that used it first."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import typer

from lookalike_client import AsyncLookalike, Image
from lookalike_client.commands.files import Found, beginnings


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
    """Raise BadParameter where a folder has the name of another one: they would replace each other's pictures.

    A name is a folder's if one of the pictures is, whatever others have brought under it with --as; else it belongs to
    the folder of the first picture.
    """
    for root in dict.fromkeys(roots):
        name, ours = beginnings(root)
        of_name = {"field": "key", "prefix": name}
        own = await client.list_images(limit=1, filter={"all": [of_name, {"field": "source", "prefix": ours}]})
        if any(_folder_of(image, name) == ours for image in own.items):
            continue
        first = await client.list_images(limit=1, filter={"all": [of_name]}, order_by="created_at")
        for image in first.items:
            if (owner := _folder_of(image, name)) != ours:
                raise _taken(name, owner)


def _folder_of(image: Image, name: str) -> str | None:
    """How the sources begin in the folder that a picture came from under a name."""
    return None if image.source is None else image.source.removesuffix(str(image.key).removeprefix(name))


def refuse_taken_key(key: str, owner: str | None, source: str) -> None:
    """Raise BadParameter where what is stored under a file's key is the picture of another folder's file."""
    if owner not in (None, source):
        name, _, below = key.partition("/")
        raise _taken(name, str(owner).removesuffix(below))


def _taken(name: str, owner: str | None) -> typer.BadParameter:
    """The refusal of a folder that has the name of another one, which is given by how its sources begin."""
    name = name.rstrip("/")
    whose = "another" if owner is None else f"the folder {owner.rstrip('/')}"
    return typer.BadParameter(
        f"The name {name} belongs to {whose}. Choose another with --as NAME; if that folder has moved here, say "
        f"--as {name}."
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
