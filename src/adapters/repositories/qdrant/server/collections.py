"""The collections behind one index: which is live, which is under construction, and how one takes another's place.

A collection is named `<index>-<space fingerprint>`. The alias `<index>` points to the live one, the alias
`<index>.building` to the one under construction. Nothing else is remembered anywhere, so that a crash at any point
leaves either the old index or the new one, and at most an orphan that the next replacement sweeps.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from qdrant_client import AsyncQdrantClient, models

from adapters.repositories.qdrant import layout
from adapters.repositories.qdrant.server.connection import QdrantConnection
from adapters.repositories.qdrant.server.faults import FaultKind, QdrantFault
from domain.embeddings import EmbeddingSpace
from domain.errors import ConfigurationError, EmbeddingSpaceError, IndexDamagedError, IndexMissingError, Remedy
from domain.metadata import MetadataType
from domain.ports.similarity_repository import check_space

METADATA_KEY = "lookalike"
"""The key of a collection's metadata under which ours stands."""

_QUANTIZATIONS: Mapping[str, models.ScalarQuantization | None] = {
    "none": None,
    "int8": models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
    ),
}
_SCHEMAS: Mapping[layout.IndexKind, models.PayloadFieldSchema] = {
    "keyword": models.PayloadSchemaType.KEYWORD,
    "prefix": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, prefix=True),
    "integer": models.PayloadSchemaType.INTEGER,
    "words": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, prefix=True, enable_hnsw=False),
    "order": models.IntegerIndexParams(
        type=models.IntegerIndexType.INTEGER, lookup=True, range=True, enable_hnsw=False
    ),
}
_log = logging.getLogger(__name__)

_UNNEEDED_QUOTES = re.compile(r'"([A-Za-z0-9_-]+)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class QdrantCollection:
    """A collection as the server has it."""

    name: str
    identity: UUID
    """That of the index, which each collection that replaces it takes over."""
    space: EmbeddingSpace
    ordering: models.WriteOrdering | None
    """With replicas, writes go through one of them, so that all replicas apply them in the same order."""


@dataclass(kw_only=True, eq=False, repr=False)
class QdrantCollections:
    """The collections of one index on one server. Methods raise QdrantFault unless they say otherwise."""

    connection: QdrantConnection
    index: str = "lookalike"

    # How new collections are laid out. None leaves a number to the server's configuration.
    indexed_metadata: Mapping[str, MetadataType] = field(default_factory=dict)
    shard_number: int | None = None
    replication_factor: int | None = None
    write_consistency_factor: int | None = None
    """How many replicas must take a write; those that are down count too. The server's own is 1, which suffices."""
    on_disk_vectors: bool = True
    quantization: str = "int8"
    """`none` or `int8`."""

    @property
    def _building(self) -> str:
        return f"{self.index}.building"

    async def open(self, space: EmbeddingSpace | None) -> QdrantCollection:
        """The live collection, made for `space` if there is none.

        Raises EmbeddingSpaceError, ConfigurationError, IndexDamagedError.
        """
        live = await self.live_name()
        if live is None:
            if space is None:
                raise IndexMissingError(
                    f"There is no index {self.index!r} on the Qdrant server at {self.connection.url} yet."
                )
            if await self.connection.call(AsyncQdrantClient.collection_exists, self.index):
                raise ConfigurationError(
                    f"The Qdrant server at {self.connection.url} has a collection named {self.index!r} that is not "
                    "ours.",
                    remedy=Remedy.CHOOSE_ANOTHER_COLLECTION,
                )
            name = await self._create(space, uuid4(), alias=self.index)
            live = await self.live_name() or name  # several processes may be at it: all arrive at the same
        collection = await self._describe(live)
        check_space(f"The index {self.index!r} on the Qdrant server at {self.connection.url}", collection.space, space)
        await self._add_missing_indexes(live)
        return collection

    async def live_name(self) -> str | None:
        """The name of the live collection, if there is one."""
        return (await self._aliases()).get(self.index)

    async def under_construction(self) -> QdrantCollection | None:
        """The collection that is to replace the live one, if there is one."""
        name = (await self._aliases()).get(self._building)
        return None if name is None else await self._describe(name)

    async def replacement(self, space: EmbeddingSpace, identity: UUID) -> QdrantCollection:
        """The collection under construction for `space`, made if there is none. One for another space is given up."""
        building = await self.under_construction()
        if building is not None:
            if building.space == space:
                await self._add_missing_indexes(building.name)
                return building
            given_up = models.DeleteAlias(alias_name=self._building)
            await self._change_alias(models.DeleteAliasOperation(delete_alias=given_up))
        await self._sweep()
        return await self._describe(await self._create(space, identity, alias=self._building))

    async def promote(self, replacement: QdrantCollection) -> None:
        """Point the index to `replacement`, in one atomic step, then delete what it pointed to before.

        The deletion comes after the promotion and does not fail it: the next replacement sweeps what is left. The
        server saves the renaming of one alias over the other at once; it would save deleting and creating one in two
        steps, and a crash in between would leave no index.
        """
        renaming = models.RenameAlias(old_alias_name=self._building, new_alias_name=self.index)
        try:
            await self._change_alias(models.RenameAliasOperation(rename_alias=renaming))
        except QdrantFault:
            if await self.live_name() != replacement.name:  # else an attempt whose answer was lost did it
                raise
        try:
            await self._sweep()
        except QdrantFault as fault:
            _log.warning("What the index %r was before is left for the next reindex to delete: %s", self.index, fault)

    async def _create(self, space: EmbeddingSpace, identity: UUID, *, alias: str) -> str:
        """Make a collection, and let the alias point to it; its name."""
        name = f"{self.index}-{space.fingerprint}"
        if alias == self._building and name == await self.live_name():  # it replaces one of the same space
            name += "-2"
        vectors = models.VectorParams(
            size=space.dimension, distance=models.Distance.COSINE, on_disk=self.on_disk_vectors
        )
        ours = {
            "format": layout.FORMAT,
            "index": self.index,
            "identity": str(identity),
            "space": space.as_mapping(),
        }
        try:
            await self.connection.call(
                AsyncQdrantClient.create_collection,
                name,
                vectors_config=dict.fromkeys(layout.vector_names(space), vectors),
                shard_number=self.shard_number,
                replication_factor=self.replication_factor,
                write_consistency_factor=self.write_consistency_factor,
                quantization_config=_QUANTIZATIONS[self.quantization],
                metadata={METADATA_KEY: ours},
            )
        except QdrantFault as fault:
            if fault.kind is not FaultKind.EXISTS:  # by another process, or by an attempt whose answer was lost
                raise
        await self._add_missing_indexes(name)
        creation = models.CreateAlias(alias_name=alias, collection_name=name)
        await self._change_alias(models.CreateAliasOperation(create_alias=creation))
        return name

    async def _add_missing_indexes(self, name: str) -> None:
        """Payload indexes come before data. Those for newly configured metadata are built while the index serves."""
        info = await self.connection.call(AsyncQdrantClient.get_collection, name)
        present = {_plain(path) for path in info.payload_schema}
        is_empty = not info.points_count
        for path, kind in layout.payload_indexes(self.indexed_metadata).items():
            if _plain(path) in present:
                continue
            await self.connection.call(
                AsyncQdrantClient.create_payload_index, name, path, _SCHEMAS[kind], wait=is_empty
            )
            if not is_empty:
                _log.info("Filters on %s are slower until the Qdrant server has built an index of it.", _plain(path))

    async def _describe(self, name: str) -> QdrantCollection:
        return self._described(name, await self.connection.call(AsyncQdrantClient.get_collection, name))

    def _described(self, name: str, info: models.CollectionInfo) -> QdrantCollection:
        """The collection that the server describes so. Raises ConfigurationError, IndexDamagedError."""
        ours = (info.config.metadata or {}).get(METADATA_KEY)
        if not ours:
            raise ConfigurationError(
                f"The alias {self.index!r} on the Qdrant server at {self.connection.url} points to the collection "
                f"{name!r}, which is not ours.",
                remedy=Remedy.CHOOSE_ANOTHER_COLLECTION,
            )
        try:
            layout.check_format(f"The collection {name!r}", ours["format"])
            identity, space = UUID(ours["identity"]), EmbeddingSpace.from_mapping(ours["space"])
        except KeyError as error:
            raise IndexDamagedError(f"The metadata of the collection {name!r} lacks the field {error}.") from error
        vectors = info.config.params.vectors or {}
        named = vectors if isinstance(vectors, dict) else {"": vectors}
        sizes = {vector: params.size for vector, params in named.items()}
        if sizes != dict.fromkeys(layout.vector_names(space), space.dimension):
            raise IndexDamagedError(
                f"The metadata of the collection {name!r} tells of embeddings of dimension {space.dimension}, but its "
                f"vectors are {sizes}. Restore it from a snapshot, or delete it and index the pictures anew."
            )
        replicas = info.config.params.replication_factor or 1
        ordering = models.WriteOrdering.MEDIUM if replicas > 1 else None
        return QdrantCollection(name=name, identity=identity, space=space, ordering=ordering)

    def successor(self, before: QdrantCollection, name: str, info: models.CollectionInfo) -> QdrantCollection:
        """The collection that the server describes so: the one that was live, or another in its place.

        Raises EmbeddingSpaceError where it is none of ours or holds other embeddings, IndexDamagedError.
        """
        try:
            now = self._described(name, info)
        except ConfigurationError as error:  # no mistake of the deployment, since it was right at the start
            raise EmbeddingSpaceError(
                f"The index was replaced while this process served it. {error}", remedy=error.remedy
            ) from error
        if now.space != before.space:
            differences = now.space.differences(before.space, ("now", "before"))
            raise EmbeddingSpaceError(
                f"The index was replaced by one of another space while this process served it: {differences}. Start "
                "again with the encoder that it was rebuilt for."
            )
        return now

    async def _aliases(self) -> dict[str, str]:
        answer = await self.connection.call(AsyncQdrantClient.get_aliases)
        return {alias.alias_name: alias.collection_name for alias in answer.aliases}

    async def _change_alias(self, operation: models.AliasOperations) -> None:
        await self.connection.call(AsyncQdrantClient.update_collection_aliases, [operation])

    async def _sweep(self) -> None:
        """Delete the collections of this index that no alias points to."""
        named = set((await self._aliases()).values())
        answer = await self.connection.call(AsyncQdrantClient.get_collections)
        ours = re.compile(rf"{re.escape(self.index)}-[0-9a-f]{{16}}(-2)?")
        for name in (collection.name for collection in answer.collections):
            if name not in named and ours.fullmatch(name):
                info = await self.connection.call(AsyncQdrantClient.get_collection, name)
                if (info.config.metadata or {}).get(METADATA_KEY, {}).get("index") == self.index:
                    await self.connection.call(AsyncQdrantClient.delete_collection, name)


def _plain(path: str) -> str:
    """A JSON path as the server spells it: without the quotes that it does not need."""
    return _UNNEEDED_QUOTES.sub(r"\1", path)
