"""The use cases on fakes."""

from dataclasses import replace
from typing import Any

from application.delete_images import DeleteImages
from application.describe_pictures import DescribePictures
from application.edit_metadata import EditMetadata
from application.index_images import IfExists, IndexImages, IndexOutcome
from application.keyed_locks import KeyedLocks
from application.prepare_pictures import PreparePictures, Upload
from application.rename_images import RenameImages
from application.shared_originals import SharedOriginals
from domain.embeddings import EmbeddingSpace
from domain.images import Clock, ImageId, id_of_content, sha256_of
from domain.metadata import Metadata, MetadataType
from domain.objects import ObjectPolicy
from tests.arranging import arranging
from tests.fakes import FakeDecoder, FakeDetector, FakeEncoder, FakeStore, FakeThumbnails, Journal, JournalledRepository


def id_of(content: bytes) -> ImageId:
    return id_of_content(sha256_of(content))


def an_upload(content: bytes, filename: str = "a.png", metadata: Metadata | None = None, **names: Any) -> Upload:
    async def read() -> bytes:
        return content

    return Upload(filename=filename, read=read, metadata=metadata, **names)


TYPES = {"price": MetadataType.FLOAT, "taken_at": MetadataType.DATETIME, "kind": MetadataType.KEYWORD}
"""What the deployment declares of metadata."""


class Workshop:
    """One deployment of fakes that share a journal."""

    def __init__(self, space: EmbeddingSpace | None = None) -> None:
        self.journal: Journal = []
        self.decoder = FakeDecoder()
        self.encoder = FakeEncoder(space=space, journal=self.journal)
        self.detector = FakeDetector(journal=self.journal)
        self.store = FakeStore(journal=self.journal)
        self.repository = JournalledRepository(journal=self.journal)
        self.originals = SharedOriginals(store=self.store, repository=self.repository)
        self.clock = Clock()
        self.locks = KeyedLocks()
        self.describe = DescribePictures(detector=self.detector, encoder=self.encoder, policy=ObjectPolicy())
        self.index_images = IndexImages(
            prepare=PreparePictures(
                decoder=self.decoder,
                describe=self.describe,
                thumbnails=FakeThumbnails(),
                repository=self.repository,
            ),
            originals=self.originals,
            repository=self.repository,
            clock=self.clock,
            locks=self.locks,
            types=TYPES,
        )
        self.delete = DeleteImages(repository=self.repository, originals=self.originals, locks=self.locks)
        self.arrange = arranging(self.repository, TYPES)
        self.edit = EditMetadata(repository=self.repository, clock=self.clock, locks=self.locks, types=TYPES)
        self.rename = RenameImages(
            repository=self.repository, originals=self.originals, clock=self.clock, locks=self.locks
        )

    def describe_by(self, describe: DescribePictures) -> None:
        """From now on, index with another policy or another detector."""
        self.index_images = replace(self.index_images, prepare=replace(self.index_images.prepare, describe=describe))

    async def open(self) -> "Workshop":
        await self.encoder.open()
        await self.repository.open(self.encoder.space)
        self.journal.clear()
        return self

    async def index(self, *uploads: Upload | bytes, if_exists: IfExists = IfExists.REPLACE) -> list[IndexOutcome]:
        given = [upload if isinstance(upload, Upload) else an_upload(upload) for upload in uploads]
        return [outcome async for outcome in self.index_images(given, if_exists=if_exists)]
