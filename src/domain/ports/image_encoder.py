"""Pixels to embeddings."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from domain.embeddings import Embeddings, EmbeddingSpace
from domain.models import ModelDescription
from domain.raster import RasterImage
from domain.scores import LikenessScales


class ImageEncoder(Protocol):
    """Encodes pictures, or crops of them, into one embedding space.

    `open` comes first and `close` last; in between, calls may overlap, and the adapter bounds what runs at once.
    """

    @abstractmethod
    async def open(self) -> None:
        """Load verified weights, warm up, and prove by a real inference that the runtime computes what it should.

        Raises ModelError: weights missing or altered, an unknown model, an absent device or precision, or golden
        pictures whose embeddings have a cosine below .99 (in int8 .998) to the stored ones.
        """

    @abstractmethod
    async def close(self) -> None:
        """Release the model. Safe to call twice, and without `open`."""

    @property
    @abstractmethod
    def space(self) -> EmbeddingSpace:
        """The space of every embedding that this encoder makes. Known once open."""

    @property
    @abstractmethod
    def description(self) -> ModelDescription:
        """What really runs. Known once open."""

    @property
    @abstractmethod
    def likeness(self) -> LikenessScales | None:
        """What the cosines of this model mean; None where its background of unrelated pairs is unknown.

        Known once open.
        """

    @abstractmethod
    async def encode(self, images: Sequence[RasterImage]) -> Embeddings:
        """L2-normalised embeddings, float32 of shape (len(images), space.dimension), in the order given.

        Raises EncoderUnavailableError, BusyError, DeadlinePassedError.
        """
