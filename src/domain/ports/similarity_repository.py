"""Records and vectors, and the nearest of them."""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from domain.embeddings import Embedding, Embeddings, EmbeddingSpace
from domain.errors import EmbeddingSpaceError, Remedy
from domain.filters import EVERYTHING, Field, Filter, Scalar
from domain.images import ImageId, ImageRecord, IndexedImage, Match
from domain.listing import NEWEST_FIRST, Cursor, ImagePage, Order
from domain.metadata import MetadataType
from domain.models import RepositoryStatus
from domain.search import Candidate, NearestQuery


def check_space(index: str, stored: EmbeddingSpace, space: EmbeddingSpace | None) -> None:
    """Raise EmbeddingSpaceError if `space` is given and is not what `index` holds."""
    if space is not None and space != stored:
        raise EmbeddingSpaceError(
            f"{index} was built with another encoder: {stored.differences(space)}.",
            remedy=Remedy.REINDEX_EMBEDDINGS,
        )


class SimilarityRepository(Protocol):
    """Image records with their embeddings: a nearest-neighbour index over one embedding space.

    An image's objects are stored beside it, with embeddings of their own, and belong to it: they appear with it and go
    with it. After a crash amid a write, no image is there without its objects, and no object is found without its image
    as it is now.
    What a write has acknowledged survives a kill of the process right after it, and is seen by every later read.
    Every method but `open` and `close` raises RepositoryUnavailableError when the backend does not answer
    in time, and DeadlinePassedError when the caller's deadline passed first.
    """

    @abstractmethod
    async def open(self, space: EmbeddingSpace | None) -> None:
        """Open the index, creating an empty one for `space` if there is none. With None, open whatever is there.

        Raises EmbeddingSpaceError if it holds another space (the message says what to do), IndexInUseError,
        IndexDamagedError, ConfigurationError (with None: there is no index), RepositoryUnavailableError.
        """

    @abstractmethod
    async def close(self) -> None:
        """Finish and make durable what was accepted, and let go. Safe to call twice, and without `open`."""

    @property
    @abstractmethod
    def identity(self) -> UUID:
        """Which index this is: the same after each `promote`. Known once open."""

    @property
    @abstractmethod
    def space(self) -> EmbeddingSpace:
        """The space of the stored embeddings. Known once open."""

    @abstractmethod
    async def upsert(self, images: Sequence[IndexedImage]) -> None:
        """Store or replace images with their objects, durably.

        Embeddings are checked first: shape, finiteness, unit length, and one for each object.

        Raises ValueError for an embedding that is not of the space, StorageFullError.
        """

    @abstractmethod
    async def update(self, records: Sequence[ImageRecord]) -> Collection[ImageId]:
        """Replace source, metadata and updated_at of images by those of `records`, durably; the rest stays.

        Answers the ids of those that are not there. Raises StorageFullError; IndexDamagedError, having changed nothing
        of that image, where objects that have to take it up are missing.
        """

    @abstractmethod
    async def delete(self, ids: Collection[ImageId]) -> None:
        """Remove images, durably; ids that are not there are passed over."""

    @abstractmethod
    async def get(self, ids: Collection[ImageId]) -> Mapping[ImageId, ImageRecord]:
        """The records of those ids that are there."""

    @abstractmethod
    async def named(self, sha256s: Collection[str]) -> Collection[str]:
        """Those of the SHA-256s that some record names, also one of an index that is under construction."""

    @abstractmethod
    async def embeddings(self, ids: Collection[ImageId]) -> Mapping[ImageId, Embedding]:
        """The L2-normalised embeddings, shape (dimension,), of those ids that are there."""

    @abstractmethod
    async def object_embeddings(self, ids: Collection[ImageId]) -> Mapping[ImageId, Embeddings | None]:
        """The objects' embeddings, shape (len(record.objects), dimension), of those images that are there.

        None for an image that has lost some of its objects: it is to be indexed again.
        """

    @abstractmethod
    async def list(
        self,
        *,
        limit: int,
        after: Cursor | None = None,
        where: Filter = EVERYTHING,
        order_by: Order = NEWEST_FIRST,
    ) -> ImagePage:
        """At most `limit` records in this order, equal values in that of ids, from right after the cursor.

        Images without the value are left out, and not in `total`. Pages stay complete and free of repeats while others
        write: an image that exists throughout, with the same value, is listed once.
        """

    @abstractmethod
    async def nearest(self, query: NearestQuery) -> Sequence[Match]:
        """The images whose pictures are most like the query, by the cosine similarity of their embeddings.

        Equal scores are in the order of ids, so that pages of one ranking neither repeat nor lose an image while
        nothing is written, as far as the approximate index finds the same. Raises ValueError for a vector that is not
        of the space, EmbeddingSpaceError if the stored space has been replaced since `open`.
        """

    @abstractmethod
    async def candidates(
        self, query: NearestQuery, *, embeddings: bool = False, appearances: bool = False
    ) -> Sequence[Candidate]:
        """What `nearest` answers, without the records but with what is asked for, which takes less time."""

    @abstractmethod
    async def nearest_objects(self, query: NearestQuery) -> Sequence[Match]:
        """Like `nearest`, but compares with the stored objects: each image appears once, by its best object.

        `Match.region` is that object. `where` and `leave_out` speak of the images, by their current metadata and
        labels.
        """

    @abstractmethod
    async def count(self, where: Filter = EVERYTHING) -> int:
        """How many images match, exactly."""

    @abstractmethod
    async def facet(self, field: Field, type_: MetadataType, where: Filter = EVERYTHING) -> Mapping[Scalar, int]:
        """How many of the matching images have each value of a field, exactly; an array has each of its values once.

        The field is `labels`, `media_type` or a metadata key that is declared as `type_`: a keyword, an integer or a
        bool. Values of other types are not counted.
        """

    @abstractmethod
    async def orphaned_objects(self) -> Mapping[ImageId, int]:
        """How many stored objects there are that belong to no image as it is now, by the image of which they were.

        No search finds them: they are what writes that were cut short have left, or two of one image that ran beside
        each other, which callers keep apart. Where several processes may write, those
        that one of them may be about to commit are not among them.
        """

    @abstractmethod
    async def sweep_objects(self, ids: Collection[ImageId]) -> int:
        """Delete what `orphaned_objects` are of these images, be they there or not; how many that was."""

    @abstractmethod
    async def status(self) -> RepositoryStatus:
        """Ask the backend how it stands."""

    @abstractmethod
    async def replacement(self, space: EmbeddingSpace) -> "SimilarityRepository":
        """A second index for `space`, opened: the one under construction if there is one, else a new empty one.

        It is invisible to `open` until `promote`; the caller closes it.
        """

    @abstractmethod
    async def promote(self, replacement: "SimilarityRepository") -> None:
        """Make `replacement` what `open` finds, atomically, then delete the index that this repository has open.

        Closes both. After a crash at any point, `open` finds either the old index whole or the new one whole.
        """
