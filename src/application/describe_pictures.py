"""From a decoded picture to what is indexed of it: its objects, and all embeddings."""

from dataclasses import dataclass

from domain.appearance import Appearance
from domain.embeddings import Embedding, Embeddings
from domain.images import DetectedObject
from domain.models import sufficient_side
from domain.objects import ObjectPolicy
from domain.ports.image_decoder import DecodedImage
from domain.ports.image_encoder import ImageEncoder
from domain.ports.object_detector import ObjectDetector
from domain.raster import RasterImage


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PictureDescription:
    """A picture's objects and embeddings: `embedding` (dimension,), `object_embeddings` (len(objects), dimension)."""

    appearance: Appearance
    objects: tuple[DetectedObject, ...]
    embedding: Embedding
    object_embeddings: Embeddings


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribePictures:
    """Detect objects, choose those worth indexing, and encode the picture and its crops together."""

    detector: ObjectDetector
    encoder: ImageEncoder
    policy: ObjectPolicy

    @property
    def detection(self) -> str:
        """What finds the objects, as it is stored with each image."""
        return self.policy.fingerprint(self.detector.description)

    @property
    def sufficient_side(self) -> int:
        """How many pixels of a picture's shorter side the models can make use of."""
        return sufficient_side(self.encoder.description, self.detector.description)

    async def __call__(
        self, picture: DecodedImage, *, objects: tuple[DetectedObject, ...] | None = None
    ) -> PictureDescription:
        """Describe a picture by its `objects`, which are detected unless they are known already.

        Raises UnavailableError, DeadlinePassedError.
        """
        raster = picture.raster
        if objects is None:
            objects = await self._detect(raster)
        crops = [
            raster.crop(self.policy.crop_box(found.box, width=raster.width, height=raster.height)) for found in objects
        ]
        embeddings = await self.encoder.encode([raster, *crops])
        return PictureDescription(
            appearance=picture.appearance,
            objects=objects,
            embedding=embeddings[0],
            object_embeddings=embeddings[1:],
        )

    async def _detect(self, raster: RasterImage) -> tuple[DetectedObject, ...]:
        if not self.detection:
            return ()
        [found] = await self.detector.detect([raster], score_threshold=self.policy.min_score)
        return self.policy.kept(found, width=raster.width, height=raster.height)
