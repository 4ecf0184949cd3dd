"""Search with a picture."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from application.arrange_matches import ArrangeMatches
from application.begun_work import all_of
from application.rank_by_regions import rank_by_regions
from application.search_query import SearchQuery, check_likeness
from application.search_result import SearchOptions, SearchResult, Target
from domain.appearance import Appearance, colour_vectors
from domain.embeddings import Embeddings
from domain.errors import InvalidRegionError
from domain.filters import Filter, ShowsSame
from domain.geometry import BoundingBox
from domain.images import DetectedObject, Match, sha256_of
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
    appearance: Appearance
    same: ShowsSame | None
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

        Raises ImageError, Invalid{Region,Grouping,Ranking}Error, TooFewLabelsError, UnavailableError,
        EmbeddingSpaceError.
        """
        self.arrange.check(options, target)
        check_likeness(options, self.encoder.likeness, is_one_picture=len(regions) <= 1)
        if len(regions) > MAX_REGIONS or (len(regions) > 1 and target is not Target.OBJECTS):
            raise InvalidRegionError(f"Give at most one region, or up to {MAX_REGIONS} with target=objects.")
        encoded = await self._encode_query(picture, regions, target)
        query = SearchQuery(
            vector=encoded.queries[0],
            colours=colour_vectors([encoded.appearance])[0],
            target=target,
            low_detail=encoded.appearance.low_detail,
            scales=self.encoder.likeness,
            same=encoded.same,
        )

        async def rank(part: SearchOptions) -> Sequence[Match]:
            if len(encoded.regions) <= 1:
                return await query.ranked(self.repository, part)
            end = part.offset + part.limit
            ranked = await rank_by_regions(self.repository, encoded.regions, encoded.queries, part, wanted=end)
            return ranked[part.offset :]

        matches, next_offset = await self.arrange(options, rank, query)
        return SearchResult(
            width=encoded.width,
            height=encoded.height,
            regions=encoded.regions,
            target=target,
            objects=encoded.objects,
            low_detail=encoded.appearance.low_detail,
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
            whole = BoundingBox(x_min=0.0, y_min=0.0, x_max=raster.width, y_max=raster.height)
            is_whole = target is not Target.OBJECTS and all(region == whole for region in clipped)
            same = asyncio.create_task(self._same(picture, decoded.appearance, is_whole=is_whole))
            try:
                queries, objects = await all_of(
                    (
                        self.encoder.encode([raster.crop(region) for region in clipped] or [raster]),
                        self._objects_in(raster, target),
                    )
                )
            except BaseException:
                same.cancel()
                raise
        return _EncodedQuery(
            width=raster.width,
            height=raster.height,
            regions=clipped,
            queries=queries,
            appearance=decoded.appearance,
            same=await same,
            objects=objects,
        )

    async def _objects_in(self, raster: RasterImage, target: Target) -> Sequence[DetectedObject] | None:
        if target is Target.IMAGES or self.detector.description is None:
            return None
        [objects] = await self.detector.detect([raster], score_threshold=OFFERED_SCORE)
        return objects

    async def _same(self, picture: bytes, appearance: Appearance, *, is_whole: bool) -> ShowsSame | None:
        """The condition for images that show the same as the picture; None where no image does, or of a part.

        The index is asked while the models work.
        """
        if not is_whole:
            return None
        same = ShowsSame(await asyncio.to_thread(sha256_of, picture), appearance.pixels)
        return same if await self.repository.count(Filter(all=(same,))) else None
