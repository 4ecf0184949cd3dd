"""What every ImageEncoder promises. Subclasses give the fixture `encoder`, open."""

import asyncio

import numpy as np
import pytest
from PIL import Image

from adapters.encoders.golden_pictures import golden_pictures
from domain.embeddings import Embedding
from domain.errors import EncoderUnavailableError
from domain.geometry import BoundingBox
from domain.ports.image_encoder import ImageEncoder
from domain.raster import RasterImage


def a_raster(pixels: np.ndarray) -> RasterImage:
    return RasterImage(pixels=pixels, width=pixels.shape[1], height=pixels.shape[0])


def a_photo(number: int = 0) -> RasterImage:
    return golden_pictures()[number]


def noise(width: int, height: int, *, seed: int = 0) -> RasterImage:
    return a_raster(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def _enlarged(photo: RasterImage, times: int) -> RasterImage:
    size = (photo.width * times, photo.height * times)
    return a_raster(np.asarray(Image.fromarray(photo.pixels).resize(size, Image.Resampling.BICUBIC)))


def cosine(one: Embedding, other: Embedding) -> float:
    return float(one @ other)


class ImageEncoderContract:
    BATCH_TOLERANCE = 1e-4
    """Between a picture's embedding alone and in a batch: the order of sums may differ, more so in bf16."""

    async def test_embeddings_are_unit_vectors_of_the_space(self, encoder: ImageEncoder) -> None:
        embeddings = await encoder.encode(golden_pictures())
        assert embeddings.dtype == np.float32
        assert embeddings.shape == (len(golden_pictures()), encoder.space.dimension)
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-3)

    async def test_no_pictures_give_no_embeddings(self, encoder: ImageEncoder) -> None:
        embeddings = await encoder.encode([])
        assert embeddings.shape == (0, encoder.space.dimension)
        assert embeddings.dtype == np.float32

    async def test_a_batch_equals_its_pictures_one_by_one_in_order(self, encoder: ImageEncoder) -> None:
        photos = [*golden_pictures(), noise(64, 48), *reversed(golden_pictures()), noise(30, 90), a_photo(2)]
        together = await encoder.encode(photos)
        alone = np.concatenate([await encoder.encode([photo]) for photo in photos])
        np.testing.assert_allclose(np.sum(together * alone, axis=1), 1.0, atol=self.BATCH_TOLERANCE)

    async def test_overlapping_calls_each_get_their_own(self, encoder: ImageEncoder) -> None:
        photos = golden_pictures()
        expected = await encoder.encode(photos)
        answers = await asyncio.gather(*(encoder.encode([photos[i % 4]]) for i in range(12)))
        for i, answer in enumerate(answers):
            assert cosine(answer[0], expected[i % 4]) > 1 - self.BATCH_TOLERANCE

    async def test_different_pictures_differ(self, encoder: ImageEncoder) -> None:
        embeddings = await encoder.encode(golden_pictures())
        between = embeddings @ embeddings.T
        assert between[~np.eye(len(between), dtype=bool)].max() < 0.95

    async def test_a_photo_is_nearest_to_its_own_enlargement(self, encoder: ImageEncoder) -> None:
        photos = golden_pictures()
        enlarged = [_enlarged(photo, 3) for photo in photos]
        between = await encoder.encode(photos) @ (await encoder.encode(enlarged)).T
        assert between.argmax(axis=1).tolist() == list(range(len(photos)))

    async def test_a_crop_differs_from_the_whole(self, encoder: ImageEncoder) -> None:
        photo = a_photo()
        part = photo.crop(BoundingBox(x_min=0, y_min=0, x_max=photo.width / 2, y_max=photo.height / 3))
        whole, crop, copied = await encoder.encode([photo, part, a_raster(part.pixels.copy())])
        assert cosine(whole, crop) < 0.9
        assert cosine(crop, copied) > 1 - self.BATCH_TOLERANCE

    @pytest.mark.parametrize(
        "fault",
        [
            pytest.param(np.rot90, id="rotated"),
            pytest.param(lambda pixels: pixels[:, :, ::-1], id="channels-swapped"),
            pytest.param(lambda pixels: pixels[::-1], id="upside-down"),
            pytest.param(lambda pixels: 255 - pixels, id="inverted"),
        ],
    )
    async def test_faults_of_preprocessing_would_show(self, encoder: ImageEncoder, fault) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        photos = golden_pictures()
        right = await encoder.encode(photos)
        wrong = await encoder.encode([a_raster(np.ascontiguousarray(fault(photo.pixels))) for photo in photos])
        assert np.sum(right * wrong, axis=1).mean() < 0.97

    @pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 20_000), (20_000, 1), (3, 2), (641, 7)])
    async def test_any_shape_of_picture_is_encoded(self, encoder: ImageEncoder, width: int, height: int) -> None:
        embeddings = await encoder.encode([noise(width, height)])
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-3)

    async def test_flat_pictures_are_encoded(self, encoder: ImageEncoder) -> None:
        flat = [a_raster(np.full((40, 50, 3), value, dtype=np.uint8)) for value in (0, 128, 255)]
        np.testing.assert_allclose(np.linalg.norm(await encoder.encode(flat), axis=1), 1.0, atol=1e-3)

    async def test_the_description_is_of_what_runs(self, encoder: ImageEncoder) -> None:
        description = encoder.description
        assert description.model == encoder.space.model
        assert description.weights_digest == encoder.space.weights_digest
        assert len(description.weights_digest) == 64
        assert f"{description.input_width}x{description.input_height}" in encoder.space.preprocessing

    async def test_closing_twice_and_opening_again(self, encoder: ImageEncoder) -> None:
        before = await encoder.encode([a_photo()])
        await encoder.close()
        await encoder.close()
        with pytest.raises(EncoderUnavailableError):
            await encoder.encode([a_photo()])
        await encoder.open()
        await encoder.open()
        assert cosine((await encoder.encode([a_photo()]))[0], before[0]) > 1 - self.BATCH_TOLERANCE

    async def test_closing_ends_work_that_waits(self, encoder: ImageEncoder) -> None:
        work = [asyncio.create_task(encoder.encode(golden_pictures() * 25)) for _ in range(4)]
        await asyncio.sleep(0.05)
        await encoder.close()
        outcomes = await asyncio.gather(*work, return_exceptions=True)
        assert all(isinstance(outcome, EncoderUnavailableError) for outcome in outcomes), outcomes
        await encoder.open()

    async def test_a_cancelled_call_leaves_the_encoder_usable(self, encoder: ImageEncoder) -> None:
        work = asyncio.create_task(encoder.encode(golden_pictures() * 25))
        await asyncio.sleep(0.05)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert len(await encoder.encode([a_photo()])) == 1


class UnopenedImageEncoderContract:
    """Of an encoder that was never opened, given by the fixture `unopened`."""

    async def test_it_says_that_it_is_not_open(self, unopened: ImageEncoder) -> None:
        with pytest.raises(EncoderUnavailableError, match="not open"):
            await unopened.encode([a_photo()])
        with pytest.raises(EncoderUnavailableError, match="not open"):
            _ = unopened.space

    async def test_it_can_be_closed(self, unopened: ImageEncoder) -> None:
        await unopened.close()
