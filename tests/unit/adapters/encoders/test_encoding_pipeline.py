"""What a fault in fitting or in the model does to pictures."""

from collections.abc import Callable

import numpy as np
import pytest

from adapters.encoders.encoding_pipeline import EncodingPipeline
from adapters.encoders.preprocessing import Pixels, Preprocessing
from domain.embeddings import Embedding, Embeddings
from domain.errors import EncoderUnavailableError
from domain.raster import RasterImage

PREPROCESSING = Preprocessing(size=8, fit="letterbox", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), pooling="gem")
PICTURE = RasterImage(pixels=np.zeros((6, 4, 3), dtype=np.uint8), width=4, height=6)

Infer = Callable[[Pixels], Embedding]


def pipeline(infer: Infer) -> EncodingPipeline:
    def infer_all(pixels: Pixels) -> Embeddings:
        return np.stack([infer(picture) for picture in pixels])

    return EncodingPipeline(preprocessing=PREPROCESSING, dimension=2, infer=infer_all, batch=2, name="test")


def right(_: Pixels) -> Embedding:
    return np.array([0.6, 0.8], dtype=np.float32)


def no_direction(_: Pixels) -> Embedding:
    return np.array([np.nan, 1.0], dtype=np.float32)


def fails(_: Pixels) -> Embedding:
    raise RuntimeError("of the runtime")


def no_memory(*_: object) -> None:
    raise MemoryError


async def test_each_picture_has_its_embedding() -> None:
    encoding = pipeline(right)
    np.testing.assert_array_equal(await encoding.encode([PICTURE] * 40), np.tile(right(PICTURE.pixels), (40, 1)))
    await encoding.close()


@pytest.mark.parametrize(("infer", "reason"), [(no_direction, "no direction"), (fails, "failed: of the runtime")])
async def test_a_fault_of_the_model_is_the_encoders(infer: Infer, reason: str) -> None:
    encoding = pipeline(infer)
    with pytest.raises(EncoderUnavailableError, match=reason):
        await encoding.encode([PICTURE])
    await encoding.close()


async def test_no_memory_to_fit_a_picture_is_the_encoders_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Preprocessing, "fit_into", no_memory)
    encoding = pipeline(right)
    with pytest.raises(EncoderUnavailableError, match="runtime failed"):
        await encoding.encode([PICTURE])
    await encoding.close()


async def test_after_closing_nothing_is_encoded() -> None:
    encoding = pipeline(right)
    await encoding.close()
    with pytest.raises(EncoderUnavailableError, match="closed"):
        await encoding.encode([PICTURE])
