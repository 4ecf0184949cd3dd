"""Say what is in a picture."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from domain.errors import DetectorUnavailableError, InvalidInputError
from domain.images import DetectedObject
from domain.models import sufficient_side
from domain.ports.image_decoder import ImageDecoder
from domain.ports.object_detector import ObjectDetector


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """Objects in a picture of `width` x `height` pixels, best first, and the model that found them."""

    model: str
    width: int
    height: int
    objects: Sequence[DetectedObject]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectObjects:
    """Detect objects in a picture; nothing is stored."""

    decoder: ImageDecoder
    detector: ObjectDetector

    async def __call__(
        self,
        picture: bytes,
        *,
        score_threshold: float = 0.3,
        labels: Collection[str] | None = None,
        max_detections: int = 100,
    ) -> Detections:
        """Raises DetectorUnavailableError and InvalidInputError (a label that the detector does not know), ImageError.

        The first two are raised before anything is decoded.
        """
        description = self.detector.description
        if description is None:
            raise DetectorUnavailableError.none_here()
        self._require_known(labels or ())
        async with self.decoder.decoded(picture, sufficient_side=sufficient_side(description)) as decoded:
            raster = decoded.raster
            [objects] = await self.detector.detect(
                [raster], score_threshold=score_threshold, labels=labels, max_detections=max_detections
            )
        return Detections(model=description.model, width=raster.width, height=raster.height, objects=objects)

    def _require_known(self, labels: Collection[str]) -> None:
        known = self.detector.labels
        for label in labels:
            if label not in known:
                likely = get_close_matches(label.lower(), known) or sorted(known)
                raise InvalidInputError(f"The detector knows no {label!r}, but {', '.join(likely)}.")
