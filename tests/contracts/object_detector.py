"""What every ObjectDetector promises. Subclasses give the fixture `detector`, open; tests may leave it closed."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image, ImageFilter

from adapters.detectors.golden_picture import share_found
from domain.callers import set_deadline
from domain.errors import DeadlinePassedError, DetectorUnavailableError
from domain.images import DetectedObject
from domain.ports.object_detector import ObjectDetector
from domain.raster import RasterImage
from tests.photos import photo, picture, raster

PHOTOS = ("astronaut", "chelsea", "coffee", "motorcycle_left")

LOW = 0.05
"""A threshold that lets every detector find something in every photo."""


def noise(width: int, height: int, *, seed: int = 0) -> RasterImage:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return RasterImage(pixels=pixels, width=width, height=height)


async def detect(
    detector: ObjectDetector, image: RasterImage, *, score_threshold: float = LOW, max_detections: int = 100
) -> Sequence[DetectedObject]:
    (found,) = await detector.detect([image], score_threshold=score_threshold, max_detections=max_detections)
    return found


def assert_same(one: Sequence[DetectedObject], other: Sequence[DetectedObject]) -> None:
    """Equal but for rounding. Order too, except between confidences that rounding may exchange."""
    assert len(one) == len(other)
    assert share_found(one, other, least_iou=0.99, score_tolerance=0.005) == 1.0
    assert share_found(other, one, least_iou=0.99, score_tolerance=0.005) == 1.0


class ObjectDetectorContract:
    HALF_SIZE_IOU = 0.8
    """Between the boxes found in a picture and in the same at half the resolution."""
    HALF_SIZE_SHARE = 1.0
    """Of the objects that are found in both."""

    async def test_boxes_lie_inside_the_picture_and_have_an_area(self, detector: ObjectDetector) -> None:
        found = {name: await detect(detector, photo(name)) for name in PHOTOS}
        assert sum(map(len, found.values())) >= len(PHOTOS)
        for name, objects in found.items():
            image = photo(name)
            for one in objects:
                assert 0 <= one.box.x_min < one.box.x_max <= image.width
                assert 0 <= one.box.y_min < one.box.y_max <= image.height

    async def test_best_first_and_within_the_threshold(self, detector: ObjectDetector) -> None:
        everything = await detect(detector, photo("motorcycle_left"))
        scores = [one.score for one in everything]
        assert scores == sorted(scores, reverse=True)
        assert all(LOW <= score <= 1.0 for score in scores)
        middle = scores[len(scores) // 2]
        above = await detect(detector, photo("motorcycle_left"), score_threshold=middle)
        assert_same(above, [one for one in everything if one.score >= middle])

    async def test_a_threshold_below_the_least_counts_as_that(self, detector: ObjectDetector) -> None:
        everything = await detect(detector, photo("motorcycle_left"), max_detections=300)
        assert_same(await detect(detector, photo("motorcycle_left"), score_threshold=0, max_detections=300), everything)

    async def test_a_threshold_above_all_gives_an_empty_result(self, detector: ObjectDetector) -> None:
        assert list(await detect(detector, photo("coffee"), score_threshold=1.0)) == []

    async def test_only_the_wanted_labels_are_answered_and_count(self, detector: ObjectDetector) -> None:
        image = photo("motorcycle_left")
        everything = await detect(detector, image, max_detections=300)
        wanted = everything[-1].label
        expected = [one for one in everything if one.label == wanted]
        (found,) = await detector.detect([image], score_threshold=LOW, labels={wanted}, max_detections=300)
        assert {one.label for one in found} == {wanted}
        assert_same(found[: len(expected)], expected)
        (best,) = await detector.detect([image], score_threshold=LOW, labels=[wanted], max_detections=1)
        assert_same(best, expected[:1])
        (none,) = await detector.detect([image], score_threshold=LOW, labels=[])
        assert list(none) == []
        (unknown,) = await detector.detect([image], score_threshold=LOW, labels=["unicorn"])
        assert list(unknown) == []

    async def test_the_best_are_kept_where_there_are_too_many(self, detector: ObjectDetector) -> None:
        everything = await detect(detector, photo("motorcycle_left"))
        assert len(everything) > 2
        two = await detect(detector, photo("motorcycle_left"), max_detections=2)
        assert_same(two, everything[:2])

    async def test_every_label_is_one_of_the_detectors(self, detector: ObjectDetector) -> None:
        assert len(detector.labels) == len(set(detector.labels)) > 1
        for name in PHOTOS:
            assert {one.label for one in await detect(detector, photo(name))} <= set(detector.labels)

    @pytest.mark.parametrize("name", PHOTOS)
    async def test_boxes_are_of_the_full_picture_whatever_the_decode_scale(
        self, detector: ObjectDetector, name: str
    ) -> None:
        large = picture(name).resize((1600, 1200), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(6))
        full = await detect(detector, raster(large), score_threshold=0.3, max_detections=10)
        half = await detect(detector, raster(large.reduce(2), width=1600, height=1200), max_detections=300)
        assert share_found(full, half, least_iou=self.HALF_SIZE_IOU, score_tolerance=0.2) >= self.HALF_SIZE_SHARE

    async def test_a_batch_equals_its_pictures_one_by_one_in_order(self, detector: ObjectDetector) -> None:
        images = [photo("coffee"), noise(40, 30), photo("chelsea"), photo("astronaut"), noise(90, 200), photo("coffee")]
        together = await detector.detect(images, score_threshold=LOW)
        assert len(together) == len(images)
        for image, found in zip(images, together, strict=True):
            assert_same(found, await detect(detector, image))

    async def test_no_pictures_give_no_results(self, detector: ObjectDetector) -> None:
        assert list(await detector.detect([], score_threshold=LOW)) == []

    async def test_overlapping_calls_each_get_their_own(self, detector: ObjectDetector) -> None:
        images = [photo("coffee"), photo("chelsea")]
        expected = await detector.detect(images, score_threshold=LOW)
        answers = await asyncio.gather(*(detect(detector, images[i % 2]) for i in range(6)))
        for i, answer in enumerate(answers):
            assert_same(answer, expected[i % 2])

    @pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 3000), (3000, 1), (3, 2), (641, 7)])
    async def test_any_shape_of_picture_is_searched(self, detector: ObjectDetector, width: int, height: int) -> None:
        for one in await detect(detector, noise(width, height)):
            assert 0 <= one.box.x_min < one.box.x_max <= width
            assert 0 <= one.box.y_min < one.box.y_max <= height

    async def test_the_description_is_of_what_runs(self, detector: ObjectDetector) -> None:
        description = detector.description
        assert description is not None
        assert len(description.weights_digest) == 64
        assert description.input_width > 0
        assert description.device == "cpu"

    async def test_work_whose_deadline_has_passed_is_dropped(self, detector: ObjectDetector) -> None:
        async def late() -> None:
            set_deadline(-1)
            await detect(detector, photo("coffee"))

        with pytest.raises(DeadlinePassedError):
            await asyncio.create_task(late())
        assert await detect(detector, photo("coffee"))

    async def test_closing_under_load_tells_those_who_wait(self, detector: ObjectDetector) -> None:
        calls = [asyncio.create_task(detect(detector, photo("coffee"))) for _ in range(8)]
        await asyncio.sleep(0)
        await detector.close()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, BaseException)]
        assert refused
        assert all(isinstance(answer, DetectorUnavailableError) for answer in refused)

    async def test_closing_twice_and_opening_again(self, detector: ObjectDetector) -> None:
        before = await detect(detector, photo("coffee"))
        await detector.close()
        await detector.close()
        with pytest.raises(DetectorUnavailableError):
            await detect(detector, photo("coffee"))
        await detector.open()
        await detector.open()
        assert_same(await detect(detector, photo("coffee")), before)


class UnopenedObjectDetectorContract:
    """Of a detector that was never opened, given by the fixture `unopened`."""

    async def test_it_says_that_it_is_not_open(self, unopened: ObjectDetector) -> None:
        with pytest.raises(DetectorUnavailableError, match="not open"):
            await detect(unopened, noise(4, 4))
        with pytest.raises(DetectorUnavailableError, match="not open"):
            _ = unopened.labels

    async def test_it_can_be_closed(self, unopened: ObjectDetector) -> None:
        await unopened.close()
