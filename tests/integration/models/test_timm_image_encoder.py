import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from adapters.encoders.golden_pictures import golden_pictures
from adapters.encoders.timm_image_encoder import Precision, TimmImageEncoder
from adapters.inference.model_directory import sha256_of
from adapters.toolchain.timm_model import load_timm_model
from domain.errors import EncoderUnavailableError, ModelError
from domain.raster import RasterImage
from tests.contracts.image_encoder import ImageEncoderContract, UnopenedImageEncoderContract, a_photo

DEFAULT = "tf_efficientnet_lite1"
SMALL = "resnet10t"
VISION_TRANSFORMER = "test_vit"


@pytest.fixture(scope="module")
def default_encoder() -> Iterator[TimmImageEncoder]:
    """Opened once, since reading the checkpoint takes seconds; it is bound to no event loop."""
    encoder = TimmImageEncoder(partial(load_timm_model, DEFAULT))
    asyncio.run(encoder.open())
    yield encoder
    asyncio.run(encoder.close())


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Seeded random weights, as `<model>` (safetensors) and `<model>.pth`."""
    directory = tmp_path_factory.mktemp("checkpoints")
    paths = {}
    for name in (SMALL, VISION_TRANSFORMER):
        torch.manual_seed(1)
        weights = timm.create_model(name).state_dict()
        paths[name] = directory / f"{name}.safetensors"
        save_file(weights, paths[name])
        paths[f"{name}.pth"] = directory / f"{name}.pth"
        torch.save({"state_dict": {f"module.{key}": value for key, value in weights.items()}}, paths[f"{name}.pth"])
    return paths


async def opened(model: str, *, precision: Precision = "auto", device: str = "cpu", **options: Any) -> TimmImageEncoder:
    encoder = TimmImageEncoder(partial(load_timm_model, model, **options), precision=precision, device=device)
    await encoder.open()
    return encoder


class TestTimmOnTheCpu(ImageEncoderContract, UnopenedImageEncoderContract):
    @pytest.fixture
    def encoder(self, default_encoder: TimmImageEncoder) -> TimmImageEncoder:
        return default_encoder

    @pytest.fixture
    def unopened(self) -> TimmImageEncoder:
        return TimmImageEncoder(partial(load_timm_model, DEFAULT))


async def test_bf16_is_near_f32(default_encoder: TimmImageEncoder) -> None:
    encoder = await opened(DEFAULT, precision="bf16")
    assert encoder.description.precision == "bf16"
    photos = golden_pictures()
    assert np.sum(await encoder.encode(photos) * await default_encoder.encode(photos), axis=1).min() > 0.99
    await encoder.close()


async def test_the_description_names_torch(default_encoder: TimmImageEncoder) -> None:
    description = default_encoder.description
    assert (description.runtime, description.device, description.precision) == ("torch", "cpu", "f32")
    assert description.weights_digest.startswith("77cc7160")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
async def test_an_absent_gpu_is_an_error() -> None:
    with pytest.raises(ModelError, match="cuda is absent: torch sees 0 CUDA devices"):
        await TimmImageEncoder(partial(load_timm_model, DEFAULT), device="cuda").open()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["f32", "bf16"])
async def test_a_gpu_gives_the_same_embeddings(default_encoder: TimmImageEncoder, precision: str) -> None:
    encoder = await opened(DEFAULT, device="cuda", precision=precision)
    assert encoder.description.device == "cuda:0"
    photos = golden_pictures()
    assert np.sum(await encoder.encode(photos) * await default_encoder.encode(photos), axis=1).min() > 0.99
    await encoder.close()


@pytest.mark.parametrize("device", ["gpu", "meta", "cuda:-1", "tpu:0"])
async def test_a_device_that_torch_does_not_know_is_an_error(device: str) -> None:
    with pytest.raises(ModelError, match=device):
        await TimmImageEncoder(partial(load_timm_model, DEFAULT), device=device).open()


@pytest.mark.parametrize("name", [SMALL, VISION_TRANSFORMER])
async def test_a_local_checkpoint_is_identified_by_its_digest(checkpoints: dict[str, Path], name: str) -> None:
    path = checkpoints[name]
    encoder = await opened(name, checkpoint=path, checkpoint_sha256=sha256_of(path)[:12])
    assert encoder.space.weights_digest == sha256_of(path)
    assert encoder.space.model == name
    assert "model pooling" in encoder.space.preprocessing
    embeddings = await encoder.encode(golden_pictures())
    assert embeddings.shape == (len(golden_pictures()), encoder.space.dimension)
    expected = timm.create_model(name, checkpoint_path=str(checkpoints[f"{name}.pth"]))
    expected.reset_classifier(0)
    pixels = load_timm_model(name, checkpoint=path).preprocessing.prepared(golden_pictures())
    mean, std = (torch.tensor(expected.pretrained_cfg[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        pooled = expected.eval()((torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std).numpy()
    cosines = np.sum(embeddings * pooled, axis=1) / np.linalg.norm(pooled, axis=1)
    np.testing.assert_allclose(cosines, 1.0, atol=1e-5)
    await encoder.close()


async def test_both_formats_of_checkpoint_load_the_same(checkpoints: dict[str, Path]) -> None:
    one = await opened(SMALL, checkpoint=checkpoints[SMALL])
    other = await opened(SMALL, checkpoint=checkpoints[f"{SMALL}.pth"])
    np.testing.assert_allclose(await one.encode([a_photo()]), await other.encode([a_photo()]), atol=1e-5)
    assert one.space != other.space, "other files are other weights, until proved equal"
    await one.close()
    await other.close()


async def test_a_model_of_timm_has_no_background_of_unrelated_pairs(default_encoder: TimmImageEncoder) -> None:
    assert default_encoder.likeness is None


async def test_the_quarters_stand_beside_the_whole_in_their_order(checkpoints: dict[str, Path]) -> None:
    whole = await opened(SMALL, checkpoint=checkpoints[SMALL], pooling="gem")
    parts = await opened(SMALL, checkpoint=checkpoints[SMALL], pooling="gem_quarters")
    [alone], [both] = await whole.encode([a_photo()]), await parts.encode([a_photo()])
    assert both.shape == (5 * alone.size,)
    np.testing.assert_allclose(both[: alone.size], alone / np.sqrt(2), atol=1e-5)
    quarters = both[alone.size :].reshape(alone.size, 4)
    np.testing.assert_allclose(np.linalg.norm(quarters), 1 / np.sqrt(2), atol=1e-5)
    turned = RasterImage(pixels=a_photo().pixels[:, ::-1].copy(), width=a_photo().width, height=a_photo().height)
    [mirrored] = await parts.encode([turned])
    swapped = mirrored[alone.size :].reshape(alone.size, 4)[:, [1, 0, 3, 2]]
    assert np.sum(quarters * swapped) > np.sum(quarters * swapped[:, [1, 0, 3, 2]])
    await whole.close()
    await parts.close()


async def test_size_and_pooling_can_be_chosen_and_are_part_of_the_space(checkpoints: dict[str, Path]) -> None:
    own = await opened(SMALL, checkpoint=checkpoints[SMALL])
    chosen = await opened(SMALL, checkpoint=checkpoints[SMALL], input_size=96, pooling="gem")
    assert (chosen.description.input_width, chosen.description.input_height) == (96, 96)
    assert "gem" in chosen.space.preprocessing
    assert "96x96" in chosen.space.preprocessing
    assert own.space.fingerprint != chosen.space.fingerprint
    await own.close()
    await chosen.close()


async def test_a_vision_transformer_takes_another_size(checkpoints: dict[str, Path]) -> None:
    encoder = await opened(VISION_TRANSFORMER, checkpoint=checkpoints[VISION_TRANSFORMER], input_size=96)
    assert (await encoder.encode([a_photo()])).shape == (1, encoder.space.dimension)
    await encoder.close()


async def test_a_vision_transformer_has_no_feature_map_for_gem(checkpoints: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match="choose `model`"):
        await opened(VISION_TRANSFORMER, checkpoint=checkpoints[VISION_TRANSFORMER], pooling="gem")


async def test_another_digest_than_expected_is_refused_by_name(checkpoints: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match=rf"{SMALL}\.safetensors is not the expected one"):
        await opened(SMALL, checkpoint=checkpoints[SMALL], checkpoint_sha256="0" * 64)


async def test_a_checkpoint_of_another_model_is_refused(checkpoints: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match="does not fit the model"):
        await opened(VISION_TRANSFORMER, checkpoint=checkpoints[SMALL])


async def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.pth cannot be read"):
        await opened(SMALL, checkpoint=tmp_path / "gone.pth")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
async def test_a_damaged_checkpoint_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(b"no weights at all" * 100)
    with pytest.raises(ModelError, match=f"damaged{suffix} cannot be read"):
        await opened(SMALL, checkpoint=path)


async def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hostile.pth"
    torch.save({"conv.weight": Path("anything but weights")}, path)
    with pytest.raises(ModelError, match=r"hostile\.pth cannot be read as weights alone"):
        await opened(SMALL, checkpoint=path)


async def test_weights_that_compute_nan_are_refused(tmp_path: Path, checkpoints: dict[str, Path]) -> None:
    weights = torch.load(checkpoints[f"{SMALL}.pth"], weights_only=True)["state_dict"]
    weights["module.conv1.0.weight"].fill_(float("nan"))
    torch.save(weights, tmp_path / "nan.pth")
    with pytest.raises(ModelError, match="not finite"):
        await opened(SMALL, checkpoint=tmp_path / "nan.pth")


async def test_a_runtime_that_turns_to_nan_is_reported_rather_than_stored(checkpoints: dict[str, Path]) -> None:
    model = load_timm_model(SMALL, checkpoint=checkpoints[SMALL])
    encoder = TimmImageEncoder(lambda: model)
    await encoder.open()
    with torch.no_grad():
        next(model.features.parameters()).fill_(float("nan"))
    with pytest.raises(EncoderUnavailableError, match="not finite"):
        await encoder.encode([a_photo()])
    await encoder.close()


async def test_an_unknown_model_gets_a_hint() -> None:
    with pytest.raises(ModelError, match=r"timm cannot build a model 'resnet_50'.*resnet50"):
        await opened("resnet_50")


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ModelError, match="not 'int8'"):
        TimmImageEncoder(partial(load_timm_model, DEFAULT), precision="int8")  # type: ignore[arg-type]
