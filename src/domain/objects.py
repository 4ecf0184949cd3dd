"""Which detected objects are worth an embedding of their own, and what of the picture each one shows."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from domain.geometry import BoundingBox
from domain.images import DetectedObject
from domain.models import ModelDescription


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectPolicy:
    """Which objects of a picture are indexed."""

    enabled: bool = True
    min_score: float = 0.4
    """Least confidence of the detector, in [0, 1]."""
    min_area: float = 0.005
    """Least share of the picture that the box covers, in [0, 1]."""
    max_objects: int = 10
    """Most objects of one picture; the most confident are kept."""
    padding: float = 0.05
    """What a crop shows around the box on each side, as a share of the box's sides."""

    def kept(self, found: Sequence[DetectedObject], *, width: int, height: int) -> tuple[DetectedObject, ...]:
        """The objects to index, best first, of those found in a picture of `width` x `height` pixels."""
        smallest = self.min_area * width * height
        confident = (each for each in found if each.score >= self.min_score)
        large = [each for each in confident if each.box.width * each.box.height >= smallest]
        return tuple(sorted(large, key=lambda each: -each.score)[: self.max_objects])

    def crop_box(self, box: BoundingBox, *, width: int, height: int) -> BoundingBox:
        """What of the picture stands for the object: its box with padding, inside the picture."""
        across, down = box.width * self.padding, box.height * self.padding
        padded = BoundingBox(
            x_min=box.x_min - across, y_min=box.y_min - down, x_max=box.x_max + across, y_max=box.y_max + down
        )
        return padded.clipped(width, height)

    def fingerprint(self, detector: ModelDescription | None) -> str:
        """Sixteen hex digits that differ where another detector or policy would index other objects.

        Empty where no object would be.
        """
        if not self.enabled or detector is None:
            return ""
        parts = (detector.model, detector.weights_digest, self.min_score, self.min_area, self.max_objects, self.padding)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
