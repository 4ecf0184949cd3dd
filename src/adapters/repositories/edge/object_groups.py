"""From hits of objects to images by their best object: the embedded engine cannot group."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from adapters.repositories.edge.records import ImageHit, Payload
from adapters.repositories.object_payload import OBJECT_INDEX
from adapters.repositories.payload import GENERATION, OBJECT_IMAGE
from domain.images import ImageId

FIRST_HITS = 3
"""So many objects are fetched for each image wanted: enough in one go where an image's objects rank apart."""

GROWTH = 4
"""And so many times more whenever those were of too few images."""

_FEWEST_LOOKED_UP = 16
_MOST_LOOKED_UP = 256

HIT_FIELDS = (OBJECT_IMAGE, GENERATION, OBJECT_INDEX)
"""What is read of an object's payload."""


class Hit(Protocol):
    """An object's point, as the engine gives it: reading a payload costs, and a deep page has tens of thousands."""

    @property
    def id(self) -> Any: ...  # noqa: D102, ANN401 - to be handed back to the engine

    @property
    def score(self) -> float: ...  # noqa: D102

    @property
    def payload(self) -> Any: ...  # noqa: D102, ANN401 - of HIT_FIELDS


class ObjectGroups:
    """One search's images. `orphans` are the ids of points that it met and that are objects of no image of now."""

    def __init__(self, payloads: Callable[[Collection[ImageId]], Mapping[ImageId, Payload]]) -> None:
        """`payloads` looks up those of the points of images; those that are not there are left out."""
        self._look_up = payloads
        self._payloads: dict[str, Payload | None] = {}
        self.orphans: set[Any] = set()

    def best(self, hits: Callable[[int], Sequence[Hit]], wanted: int) -> list[ImageHit]:
        """The best `wanted` images, best first; fewer if there are no more. `hits(n)` are the n best objects."""
        limit = FIRST_HITS * wanted
        while True:
            found = hits(limit)
            images = self._grouped(found, wanted)
            if len(images) == wanted or len(found) < limit:
                return images
            limit *= GROWTH

    def _grouped(self, hits: Sequence[Hit], wanted: int) -> list[ImageHit]:
        best: dict[str, ImageHit] = {}
        step = max(_FEWEST_LOOKED_UP, min(wanted, _MOST_LOOKED_UP))
        for first in range(0, len(hits), step):
            batch = [(hit, hit.payload) for hit in hits[first : first + step]]
            self._fetch({payload[OBJECT_IMAGE] for _, payload in batch})
            for hit, payload in batch:
                image = payload[OBJECT_IMAGE]
                of_image = self._payloads[image]
                if of_image is None or of_image[GENERATION] != payload[GENERATION]:
                    self.orphans.add(hit.id)
                elif image not in best:
                    best[image] = ImageHit(UUID(image), of_image, hit.score, payload[OBJECT_INDEX])
                    if len(best) == wanted:
                        return list(best.values())
        return list(best.values())

    def _fetch(self, images: Collection[str]) -> None:
        unknown = [image for image in images if image not in self._payloads]
        if unknown:
            found = self._look_up([UUID(image) for image in unknown])
            self._payloads |= {image: found.get(UUID(image)) for image in unknown}
