"""A backup as plain files in a directory, readable without this program.

    manifest.json            format, version, embedding space, number of images, digests; written last
    groups/000000.jsonl      one image a line: its record, and the SHA-256 of its thumbnail, if there is one
    groups/000000.npy        their embeddings in the same order, float32 of shape (images, dimension)
    groups/000000.objects.npy  those of their objects, one image after the other, of shape (objects, dimension)
    originals/3f/3f0a...     the bytes as uploaded, named by their SHA-256, in folders by its first two digits
    thumbnails/3f/3f0a...    the small rendition, under the same name

Everything is verified when it is read: the manifest holds a digest of every group's three files, and the records hold
those of their originals and thumbnails. Version 1, which is still read, named the files by the image's id; its images
had neither key nor source. Records without an appearance, as older backups of version 2 have them too, get one when
they are encoded anew.
"""

import asyncio
import contextlib
import hashlib
import io
import json
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from typing_extensions import override

from adapters.durability import FULL, replace_durably, sync_folder, write_durably
from domain.appearance import Appearance
from domain.embeddings import Embeddings, EmbeddingSpace
from domain.errors import ConfigurationError, InvalidInputError, StorageFullError
from domain.geometry import BoundingBox
from domain.images import DetectedObject, ImageRecord, IndexedImage, id_of_content
from domain.metadata import checked_metadata
from domain.names import id_of_key
from domain.ports.backup_archive import BackedUpImage, BackupArchive

FORMAT = "lookalike-backup"
VERSION = 2

_MANIFEST = "manifest.json"
_INCOMING = f"{_MANIFEST}.incoming"
_FOLDERS = ("groups", "originals", "thumbnails")
_GROUP_DIGESTS = ("records_sha256", "embeddings_sha256", "object_embeddings_sha256")
_HELD_BYTES = 64 * 1024 * 1024
"""Reading hands out a group once its originals take this much memory."""


class DirectoryBackupArchive(BackupArchive):
    """One backup in `root`. An interrupted one is left incomplete; beginning again there starts it over."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._space: EmbeddingSpace | None = None
        self._groups: list[dict[str, Any]] = []

    @override
    async def begin(self, space: EmbeddingSpace) -> None:
        await asyncio.to_thread(self._begin, space)

    @override
    async def append(self, images: Sequence[BackedUpImage]) -> None:
        if images:
            await asyncio.to_thread(self._append, images)

    @override
    async def finish(self) -> None:
        await asyncio.to_thread(self._write_manifest, complete=True)

    @override
    async def read_space(self) -> EmbeddingSpace:
        manifest = await asyncio.to_thread(self._read_manifest)
        with self._damage_named(_MANIFEST):
            return EmbeddingSpace.from_mapping(manifest["space"])

    @override
    async def count(self) -> int:
        return sum(group["images"] for group in (await asyncio.to_thread(self._read_manifest))["groups"])

    @override
    async def images(self) -> AsyncIterator[Sequence[BackedUpImage]]:
        manifest = await asyncio.to_thread(self._read_manifest)
        for number, group in enumerate(manifest["groups"]):
            contents = await asyncio.to_thread(self._read_group, number, group)
            by_id = manifest["version"] == 1
            held: list[BackedUpImage] = []
            for image, thumbnail_sha256 in contents:
                held.append(await asyncio.to_thread(self._with_files, image, thumbnail_sha256, by_id=by_id))
                if sum(len(item.original) for item in held) >= _HELD_BYTES:
                    yield held
                    held = []
            if held:
                yield held

    # Writing

    def _begin(self, space: EmbeddingSpace) -> None:
        with self._write_errors_named():
            self._root.mkdir(parents=True, exist_ok=True)
            if {path.name for path in self._root.iterdir()} - {_INCOMING}:
                self._clear_interrupted()
            self._space, self._groups = space, []
            # This comes first: it marks everything here as a backup that may be started over.
            self._write_manifest(complete=False)
            for folder in _FOLDERS:
                (self._root / folder).mkdir()
            for folder in ("originals", "thumbnails"):
                for byte in range(256):
                    (self._root / folder / f"{byte:02x}").mkdir()
                sync_folder(self._root / folder)
            sync_folder(self._root)
            sync_folder(self._root.parent)

    def _clear_interrupted(self) -> None:
        if not (self._root / _MANIFEST).exists():
            raise ConfigurationError(f"{self._root} is not empty. Name a new directory for the backup.")
        if self._parsed_manifest()["complete"]:
            raise ConfigurationError(
                f"{self._root} holds a complete backup already. Name a new directory for this one."
            )
        for folder in _FOLDERS:
            if (self._root / folder).exists():
                shutil.rmtree(self._root / folder)

    def _append(self, images: Sequence[BackedUpImage]) -> None:
        embeddings = _npy(np.stack([item.image.embedding for item in images]))
        object_embeddings = _npy(np.concatenate([item.image.object_embeddings for item in images]))
        number = len(self._groups)
        with self._write_errors_named():
            folders = {self._root / "groups"}
            lines = []
            for item in images:
                sha256 = item.image.record.sha256
                written = {"originals": item.original, "thumbnails": item.thumbnail}
                for kind, content in written.items():
                    place = self._file(kind, sha256)
                    if content is not None and not place.exists():  # several images may have the same bytes
                        write_durably(place, content)
                        folders.add(place.parent)
                lines.append(_as_mapping(item.image.record) | {"thumbnail_sha256": self._thumbnail_digest(sha256)})
            records = "".join(json.dumps(line) + "\n" for line in lines).encode()
            write_durably(self._group_file(number, "jsonl"), records)
            write_durably(self._group_file(number, "npy"), embeddings)
            write_durably(self._group_file(number, "objects.npy"), object_embeddings)
            for folder in folders:
                sync_folder(folder)
        self._groups.append(
            {
                "images": len(images),
                "records_sha256": _digest(records),
                "embeddings_sha256": _digest(embeddings),
                "object_embeddings_sha256": _digest(object_embeddings),
            }
        )

    def _thumbnail_digest(self, sha256: str) -> str | None:
        place = self._file("thumbnails", sha256)
        return _digest(place.read_bytes()) if place.exists() else None

    def _write_manifest(self, *, complete: bool) -> None:
        if self._space is None:
            raise RuntimeError("begin() comes first")
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "complete": complete,
            "images": sum(group["images"] for group in self._groups),
            "space": self._space.as_mapping(),
            "groups": self._groups,
        }
        with self._write_errors_named():
            content = json.dumps(manifest, indent=1).encode()
            replace_durably(self._root / _MANIFEST, content, draft=self._root / _INCOMING)

    @contextlib.contextmanager
    def _write_errors_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno in FULL:
                raise StorageFullError(f"No room is left for the backup in {self._root}: {reason}.") from error
            raise ConfigurationError(f"The backup cannot be written to {self._root}: {reason}.") from error

    # Reading

    def _read_manifest(self) -> Mapping[str, Any]:
        manifest = self._parsed_manifest()
        if not manifest["complete"]:
            raise ConfigurationError(f"The backup in {self._root} was interrupted and is incomplete. Make it again.")
        return manifest

    def _parsed_manifest(self) -> Mapping[str, Any]:
        try:
            manifest = json.loads((self._root / _MANIFEST).read_bytes())
        except OSError as error:
            raise ConfigurationError(f"{self._root} holds no backup: {_MANIFEST}: {error.strerror}.") from error
        except ValueError as error:
            raise self._damaged(f"{_MANIFEST} is no JSON") from error
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise ConfigurationError(f"{self._root} holds no backup: {_MANIFEST} is of something else.")
        version = manifest.get("version")
        if not isinstance(version, int) or version > VERSION:
            raise ConfigurationError(
                f"The backup in {self._root} has format version {version}; this release reads up to {VERSION}. "
                "Restore it with the release that made it, or a later one."
            )
        if missing := {"complete", "space", "groups"} - manifest.keys():
            raise self._damaged(f"{_MANIFEST} has no {', '.join(sorted(missing))}")
        groups = manifest["groups"]
        if not isinstance(groups, list) or not all(map(_is_group, groups)):
            raise self._damaged(f"{_MANIFEST} lists groups that lack their number of images or a digest")
        return manifest

    def _read_group(self, number: int, group: Mapping[str, Any]) -> Sequence[tuple[IndexedImage, str | None]]:
        """The group's images, each with the SHA-256 of its thumbnail, if it has one."""
        records = self._verified(self._group_file(number, "jsonl"), group["records_sha256"])
        vectors = self._verified(self._group_file(number, "npy"), group["embeddings_sha256"])
        of_objects = self._verified(self._group_file(number, "objects.npy"), group["object_embeddings_sha256"])
        with self._damage_named(f"group {number}"):
            lines = [json.loads(line) for line in records.splitlines()]
            embeddings, object_embeddings = _vectors(vectors), _vectors(of_objects)
            if not len(lines) == len(embeddings) == group["images"]:
                raise ValueError("records and embeddings differ in number")
            images = [_from_mapping(line) for line in lines]
            if len(object_embeddings) != sum(len(record.objects) for record in images):
                raise ValueError("objects and their embeddings differ in number")
            ends = np.cumsum([len(record.objects) for record in images])
            described = zip(images, embeddings, np.split(object_embeddings, ends[:-1]), strict=True)
            return [
                (
                    IndexedImage(record=record, embedding=embedding, object_embeddings=objects),
                    line["thumbnail_sha256"],
                )
                for line, (record, embedding, objects) in zip(lines, described, strict=True)
            ]

    def _with_files(self, image: IndexedImage, thumbnail_sha256: str | None, *, by_id: bool) -> BackedUpImage:
        name = str(image.record.id) if by_id else image.record.sha256
        thumbnail = None
        if thumbnail_sha256 is not None:
            thumbnail = self._verified(self._file("thumbnails", name), thumbnail_sha256)
        original = self._verified(self._file("originals", name), image.record.sha256)
        return BackedUpImage(image=image, original=original, thumbnail=thumbnail)

    def _verified(self, path: Path, sha256: str) -> bytes:
        name = path.relative_to(self._root)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise self._damaged(f"{name}: {error.strerror}") from error
        if _digest(content) != sha256:
            raise self._damaged(f"{name} has been altered")
        return content

    @contextlib.contextmanager
    def _damage_named(self, what: str) -> Iterator[None]:
        try:
            yield
        except (KeyError, ValueError, TypeError, AttributeError, InvalidInputError) as error:
            raise self._damaged(f"{what}: {error}") from error

    def _damaged(self, what: str) -> ConfigurationError:
        return ConfigurationError(f"The backup in {self._root} is damaged ({what}). Restore from another copy.")

    def _group_file(self, number: int, suffix: str) -> Path:
        return self._root / "groups" / f"{number:06d}.{suffix}"

    def _file(self, kind: str, name: str) -> Path:
        return self._root / kind / name[:2] / name


def _is_group(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("images"), int)
        and all(isinstance(entry.get(digest), str) for digest in _GROUP_DIGESTS)
    )


def _as_mapping(record: ImageRecord) -> dict[str, Any]:
    times = {"created_at": record.created_at.isoformat(), "updated_at": record.updated_at.isoformat()}
    seen = record.appearance
    appearance = None if seen is None else asdict(seen) | {"colours": seen.colours.hex()}
    return asdict(record) | {"id": str(record.id), "appearance": appearance} | times


def _from_mapping(line: Mapping[str, Any]) -> ImageRecord:
    record = ImageRecord(
        id=UUID(line["id"]),
        key=line.get("key"),
        source=line.get("source"),
        filename=line["filename"],
        media_type=line["media_type"],
        width=line["width"],
        height=line["height"],
        size_bytes=line["size_bytes"],
        sha256=line["sha256"],
        created_at=datetime.fromisoformat(line["created_at"]),
        updated_at=datetime.fromisoformat(line.get("updated_at", line["created_at"])),
        metadata=checked_metadata(line["metadata"]),
        objects=tuple(
            DetectedObject(label=found["label"], score=found["score"], box=BoundingBox(**found["box"]))
            for found in line["objects"]
        ),
        detection=line["detection"],
        appearance=None if (seen := line.get("appearance")) is None else _appearance(seen),
    )
    if record.id != (id_of_content(record.sha256) if record.key is None else id_of_key(record.key)):
        raise ValueError(f"{record.id} is not the id of its {'content' if record.key is None else 'key'}")
    return record


def _appearance(seen: Mapping[str, Any]) -> Appearance:
    return Appearance(pixels=seen["pixels"], low_detail=seen["low_detail"], colours=bytes.fromhex(seen["colours"]))


def _npy(vectors: Embeddings) -> bytes:
    file = io.BytesIO()
    np.save(file, vectors.astype(np.float32), allow_pickle=False)
    return file.getvalue()


def _vectors(content: bytes) -> Embeddings:
    vectors: Embeddings = np.load(io.BytesIO(content), allow_pickle=False)
    if vectors.ndim != 2:
        raise ValueError(f"embeddings of shape {vectors.shape}")
    return vectors


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
