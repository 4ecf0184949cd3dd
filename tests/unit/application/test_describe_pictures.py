from dataclasses import replace

import numpy as np
import pytest

from adapters.detectors.null_object_detector import NullObjectDetector
from application.describe_pictures import DescribePictures
from domain.geometry import BoundingBox
from domain.images import DetectedObject
from domain.objects import ObjectPolicy
from domain.raster import RasterImage
from tests.fakes import FakeDetector, FakeEncoder

CAT = DetectedObject(label="cat", score=0.9, box=BoundingBox(x_min=2, y_min=3, x_max=12, y_max=13))
CUP = DetectedObject(label="cup", score=0.7, box=BoundingBox(x_min=20, y_min=10, x_max=32, y_max=24))
FAINT = DetectedObject(label="dog", score=0.2, box=BoundingBox(x_min=0, y_min=0, x_max=32, y_max=24))


def pictures(count: int) -> list[RasterImage]:
    pixels = np.random.default_rng(1).integers(0, 256, (count, 24, 32, 3), dtype=np.uint8)
    return [RasterImage(pixels=each, width=32, height=24) for each in pixels]


@pytest.fixture
async def describe() -> DescribePictures:
    detector, encoder = FakeDetector(), FakeEncoder()
    await encoder.open()
    encoder.journal.clear()
    detector.found = (FAINT, CUP, CAT)
    return DescribePictures(detector=detector, encoder=encoder, policy=ObjectPolicy(padding=0.1))


async def test_pictures_and_their_objects_are_encoded_as_one_batch(describe: DescribePictures) -> None:
    rasters = pictures(3)
    described = await describe(rasters)

    assert describe.encoder.journal == ["encode 9"]  # type: ignore[attr-defined]
    for raster, description in zip(rasters, described, strict=True):
        assert description.objects == (CAT, CUP)
        crops = [raster.crop(describe.policy.crop_box(each.box, width=32, height=24)) for each in (CAT, CUP)]
        expected = await describe.encoder.encode([raster, *crops])
        assert np.array_equal(description.embedding, expected[0])
        assert np.array_equal(description.object_embeddings, expected[1:])


async def test_each_picture_keeps_its_own_objects(describe: DescribePictures) -> None:
    rasters = pictures(3)
    described = await describe.encode(rasters, [(CUP,), (), (CAT, CUP)])

    assert [description.object_embeddings.shape for description in described] == [(1, 16), (0, 16), (2, 16)]
    [cat] = await describe.encoder.encode([rasters[2].crop(describe.policy.crop_box(CAT.box, width=32, height=24))])
    assert np.array_equal(described[2].object_embeddings[0], cat)
    assert describe.detector.journal == []  # type: ignore[attr-defined]


async def test_where_objects_are_not_wanted_nothing_looks_for_them(describe: DescribePictures) -> None:
    without = replace(describe, policy=replace(describe.policy, enabled=False))
    [description] = await without(pictures(1))
    assert (description.objects, description.object_embeddings.shape) == ((), (0, 16))
    assert without.detection == ""
    assert without.detector.journal == []  # type: ignore[attr-defined]


async def test_without_a_detector_pictures_are_described_whole(describe: DescribePictures) -> None:
    without = replace(describe, detector=NullObjectDetector())
    [description] = await without(pictures(1))
    assert (description.objects, description.object_embeddings.shape) == ((), (0, 16))
    assert without.detection == ""


async def test_what_found_the_objects_is_told(describe: DescribePictures) -> None:
    assert describe.detection == describe.policy.fingerprint(describe.detector.description) != ""


async def test_no_picture_has_no_description(describe: DescribePictures) -> None:
    assert await describe([]) == []
