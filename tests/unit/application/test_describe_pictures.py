from dataclasses import replace

import numpy as np
import pytest

from adapters.detectors.null_object_detector import NullObjectDetector
from application.describe_pictures import DescribePictures
from domain.geometry import BoundingBox
from domain.images import DetectedObject
from domain.objects import ObjectPolicy
from domain.ports.image_decoder import DecodedImage
from domain.raster import RasterImage
from tests.builders import an_appearance
from tests.fakes import FakeDetector, FakeEncoder

CAT = DetectedObject(label="cat", score=0.9, box=BoundingBox(x_min=2, y_min=3, x_max=12, y_max=13))
CUP = DetectedObject(label="cup", score=0.7, box=BoundingBox(x_min=20, y_min=10, x_max=32, y_max=24))
FAINT = DetectedObject(label="dog", score=0.2, box=BoundingBox(x_min=0, y_min=0, x_max=32, y_max=24))


def a_picture() -> DecodedImage:
    pixels = np.random.default_rng(1).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    raster = RasterImage(pixels=pixels, width=32, height=24)
    return DecodedImage(raster=raster, media_type="image/png", appearance=an_appearance(1))


@pytest.fixture
async def describe() -> DescribePictures:
    detector, encoder = FakeDetector(), FakeEncoder()
    await encoder.open()
    encoder.journal.clear()
    detector.found = (FAINT, CUP, CAT)
    return DescribePictures(detector=detector, encoder=encoder, policy=ObjectPolicy(padding=0.1))


async def test_a_picture_and_its_objects_are_encoded_together(describe: DescribePictures) -> None:
    picture = a_picture()
    raster = picture.raster
    description = await describe(picture)

    assert description.appearance == picture.appearance
    assert describe.encoder.journal == ["encode 3"]  # type: ignore[attr-defined]
    assert description.objects == (CAT, CUP)
    crops = [raster.crop(describe.policy.crop_box(each.box, width=32, height=24)) for each in (CAT, CUP)]
    expected = await describe.encoder.encode([raster, *crops])
    assert np.array_equal(description.embedding, expected[0])
    assert np.array_equal(description.object_embeddings, expected[1:])


async def test_objects_that_are_known_are_not_looked_for(describe: DescribePictures) -> None:
    picture = a_picture()
    raster = picture.raster
    for objects in ((CUP,), (), (CUP, CAT)):
        description = await describe(picture, objects=objects)
        assert description.objects == objects
        assert description.object_embeddings.shape == (len(objects), 16)
    [cat] = await describe.encoder.encode([raster.crop(describe.policy.crop_box(CAT.box, width=32, height=24))])
    assert np.array_equal(description.object_embeddings[1], cat)
    assert describe.detector.journal == []  # type: ignore[attr-defined]


async def test_where_objects_are_not_wanted_nothing_looks_for_them(describe: DescribePictures) -> None:
    without = replace(describe, policy=replace(describe.policy, enabled=False))
    description = await without(a_picture())
    assert (description.objects, description.object_embeddings.shape) == ((), (0, 16))
    assert without.detection == ""
    assert without.detector.journal == []  # type: ignore[attr-defined]


async def test_without_a_detector_pictures_are_described_whole(describe: DescribePictures) -> None:
    without = replace(describe, detector=NullObjectDetector())
    description = await without(a_picture())
    assert (description.objects, description.object_embeddings.shape) == ((), (0, 16))
    assert without.detection == ""


async def test_what_found_the_objects_is_told(describe: DescribePictures) -> None:
    assert describe.detection == describe.policy.fingerprint(describe.detector.description) != ""
