"""Search with a picture."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from application.arrange_matches import ArrangeMatches
from application.begun_work import all_of
from application.rank_by_regions import rank_by_regions
from application.search_result import SearchOptions, SearchResult, Target
from domain.embeddings import Embedding, Embeddings
from domain.errors import InvalidRegionError
from domain.geometry import BoundingBox
from domain.images import DetectedObject, Match
from domain.models import sufficient_side
from domain.ports.image_decoder import ImageDecoder
from domain.ports.image_encoder import ImageEncoder
from domain.ports.object_detector import ObjectDetector
from domain.ports.similarity_repository import SimilarityRepository
from domain.raster import RasterImage

MAX_REGIONS = 8
OFFERED_SCORE = 0.3
"""Least confidence of the objects that a result offers as regions of the query."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _EncodedQuery:
    """A query picture: an embedding for each region, or of the whole where there is none."""

    width: int
    height: int
    regions: tuple[BoundingBox, ...]
    queries: Embeddings
    objects: Sequence[DetectedObject] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSimilar:
    """Find indexed images that look like a picture, like regions of it, or that hold objects that do."""

    decoder: ImageDecoder
    encoder: ImageEncoder
    detector: ObjectDetector
    repository: SimilarityRepository
    arrange: ArrangeMatches

    async def __call__(
        self, picture: bytes, *, regions: Sequence[BoundingBox] = (), target: Target, options: SearchOptions
    ) -> SearchResult:
        """Nothing is stored. Several regions (up to 8) go with target objects.

        Raises ImageError, InvalidRegionError, InvalidGroupingError, UnavailableError, EmbeddingSpaceError.
        """
        self.arrange.check(options)
        if len(regions) > MAX_REGIONS or (len(regions) > 1 and target is not Target.OBJECTS):
            raise InvalidRegionError(f"Give at most one region, or up to {MAX_REGIONS} with target=objects.")
        encoded = await self._encode_query(picture, regions, target)
        matches, next_offset = await self.arrange(
            options, lambda part: self._find(encoded.queries, encoded.regions, target, part)
        )
        return SearchResult(
            width=encoded.width,
            height=encoded.height,
            regions=encoded.regions,
            target=target,
            objects=encoded.objects,
            offset=options.offset,
            matches=matches,
            next_offset=next_offset,
        )

    async def _encode_query(self, picture: bytes, regions: Sequence[BoundingBox], target: Target) -> _EncodedQuery:
        """All that the search needs of the picture, whose pixels are not held while the index is asked."""
        smallest = min(regions, key=lambda region: min(region.width, region.height), default=None)
        side = sufficient_side(self.encoder.description, self.detector.description)
        async with self.decoder.decoded(picture, sufficient_side=side, region=smallest) as decoded:
            raster = decoded.raster
            clipped = tuple(region.clipped(raster.width, raster.height) for region in regions)
            queries, objects = await all_of(
                (
                    self.encoder.encode([raster.crop(region) for region in clipped] or [raster]),
                    self._objects_in(raster, target),
                )
            )
        return _EncodedQuery(
            width=raster.width, height=raster.height, regions=clipped, queries=queries, objects=objects
        )

    async def _objects_in(self, raster: RasterImage, target: Target) -> Sequence[DetectedObject] | None:
        if target is Target.IMAGES or self.detector.description is None:
            return None
        [objects] = await self.detector.detect([raster], score_threshold=OFFERED_SCORE)
        return objects

    async def _find(
        self, queries: Embeddings, regions: Sequence[BoundingBox], target: Target, options: SearchOptions
    ) -> Sequence[Match]:
        if len(regions) > 1:
            end = options.offset + options.limit
            ranked = await rank_by_regions(self.repository, regions, queries, options, wanted=end)
            return ranked[options.offset :]
        match target:
            case Target.IMAGES:
                return await self.repository.nearest(options.nearest_to(queries[0]))
            case Target.OBJECTS:
                return await self.repository.nearest_objects(options.nearest_to(queries[0]))
            case Target.ANY:
                return await self._nearest_of_both(queries[0], options)

    async def _nearest_of_both(self, query: Embedding, options: SearchOptions) -> Sequence[Match]:
        """Each image once, by its better match: the best n of both rankings hold the best n of all."""
        end = options.offset + options.limit
        from_start = replace(options, offset=0, limit=end).nearest_to(query)
        both = [*await self.repository.nearest(from_start), *await self.repository.nearest_objects(from_start)]
        best = {match.image.id: match for match in sorted(both, key=lambda match: match.score)}
        return sorted(best.values(), key=lambda match: match.place)[options.offset : end]
