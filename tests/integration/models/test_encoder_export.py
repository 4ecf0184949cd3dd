import asyncio
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from adapters.encoders.exported_model import PACKAGED, ExportedModel
from adapters.encoders.golden_pictures import golden_pictures
from adapters.encoders.openvino_image_encoder import OpenVinoImageEncoder
from adapters.encoders.timm_image_encoder import TimmImageEncoder
from adapters.inference.model_directory import MANIFEST
from adapters.toolchain.catalogue import runnable_models
from adapters.toolchain.encoder_export import LEAST_COSINE, export_model, fit_model
from adapters.toolchain.photos import Photos
from adapters.toolchain.projection import Projection
from adapters.toolchain.timm_model import load_timm_model
from domain.errors import ModelError
from domain.ports.image_encoder import ImageEncoder
from domain.scores import LikenessScale, LikenessScales
from entrypoints import container
from entrypoints.settings import EncoderSettings
from tests.contracts.image_encoder import noise

DEFAULT = "tf_efficientnet_lite1"
EXAMPLES = Path(__file__).parents[3] / "examples" / "photos"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few, so that fitting takes seconds."""
    folder = tmp_path_factory.mktemp("photos")
    for path in sorted(EXAMPLES.glob("*-0[1-3].jpg")):
        subject = folder / path.stem.rsplit("-", 1)[0]
        subject.mkdir(exist_ok=True)
        shutil.copy(path, subject)
    return folder


@pytest.fixture(scope="module")
def default_export(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """Made by the commands, the projection fitted first."""
    directory = tmp_path_factory.mktemp("models") / DEFAULT
    projection = tmp_path_factory.mktemp("fitted") / "projection.npz"
    for arguments in (
        ["fit", "--out", str(projection)],
        ["export", "--out", str(directory), "--int8", "--projection", str(projection)],
    ):
        command = [str(Path(sys.executable).parent / "lookalike"), "models", *arguments]
        command += ["--model", DEFAULT, "--fit-on", str(photos)]
        subprocess.run(command, check=True, capture_output=True)
    return directory


def a_checkpoint(directory: Path, model: str) -> Path:
    torch.manual_seed(3)
    path = directory / f"{model}.safetensors"
    save_file(timm.create_model(model).state_dict(), path)
    return path


async def embeddings(encoder: ImageEncoder) -> Any:
    await encoder.open()
    answer = await encoder.encode([*golden_pictures(), noise(50, 200)])
    await encoder.close()
    return answer


def test_the_default_is_exported_like_the_packaged_one(default_export: Path) -> None:
    ours, packaged = ExportedModel.read(default_export), ExportedModel.read(PACKAGED / DEFAULT)
    assert (ours.model, ours.weights_digest, ours.int8) == (packaged.model, packaged.weights_digest, True)
    assert ours.preprocessing == packaged.preprocessing
    assert set(ours.made_with) == set(packaged.made_with) == {"nncf", "openvino", "timm", "torch"}
    assert 100 < ours.dimension < packaged.dimension == 512, "30 photos and their views span 149 dimensions at most"
    assert ours.space != packaged.space, "another projection is another space"
    encoder = OpenVinoImageEncoder(model=str(default_export))
    asyncio.run(embeddings(encoder))
    assert ours.likeness.images.median < ours.likeness.images.rare


def test_int8_stays_near_to_float(default_export: Path, photos: Path, tmp_path: Path) -> None:
    given = Photos.read(photos)
    load = partial(load_timm_model, DEFAULT, projected=True)
    float_export, cosines = export_model(tmp_path / "float", load, given)
    assert cosines["f32"] >= LEAST_COSINE["f32"]
    assert float_export.size_bytes > 1.5 * ExportedModel.read(default_export).size_bytes
    by_float, by_int8 = (
        asyncio.run(embeddings(OpenVinoImageEncoder(model=str(directory))))
        for directory in (tmp_path / "float", default_export)
    )
    assert np.sum(by_float * by_int8, axis=1).mean() > 0.95


def test_nothing_but_the_model_is_left(default_export: Path) -> None:
    assert {path.name for path in default_export.iterdir()} == {*ExportedModel.FILES, MANIFEST, "NOTICE"}
    assert [path.name for path in default_export.parent.iterdir()] == [DEFAULT]


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("resnet10t", {}),
        ("test_vit", {}),
        ("mobilenetv3_small_050", {"input_size": 96, "pooling": "gem"}),
    ],
)
def test_any_timm_model_makes_the_round_trip(tmp_path: Path, photos: Path, model: str, options: dict[str, Any]) -> None:
    checkpoint = a_checkpoint(tmp_path, model)
    load = partial(load_timm_model, model, checkpoint=checkpoint, **options)
    _, projection = fit_model(load, Photos.read(photos))
    no_photos = Photos(rasters=(), subjects=())
    exported, cosines = export_model(tmp_path / "out", load, no_photos, projection=projection)
    assert cosines["f32"] >= LEAST_COSINE["f32"]
    assert (exported.projection, exported.likeness) == (projection.digest, projection.likeness)
    features = asyncio.run(embeddings(TimmImageEncoder(load)))
    by_openvino = asyncio.run(embeddings(OpenVinoImageEncoder(model=str(tmp_path / "out"), precision="f32")))
    assert np.sum(projection(features) * by_openvino, axis=1).min() > 0.9999


def test_photos_are_not_read_where_none_is_used(tmp_path: Path) -> None:
    checkpoint = a_checkpoint(tmp_path, "test_vit")
    scale = LikenessScale(median=0.0, rare=0.5)
    projection = Projection(
        matrix=np.eye(64, 32, dtype=np.float32),
        offset=np.zeros(32, np.float32),
        likeness=LikenessScales(images=scale, objects=scale),
    )
    projection.save(tmp_path / "projection.npz")
    settings = EncoderSettings(runtime="torch", model="test_vit", checkpoint=checkpoint)

    def export(*, int8: bool) -> ExportedModel:
        exported, _ = container.export_model(
            settings,
            tmp_path / "out",
            fit_on=tmp_path / "no photos",
            projection=tmp_path / "projection.npz",
            int8=int8,
        )
        return exported

    with pytest.raises(ModelError, match="no photos has 0"):
        export(int8=True)
    assert export(int8=False).dimension == 32


def test_a_projection_of_another_model_is_refused(tmp_path: Path, photos: Path) -> None:
    scale = LikenessScale(median=0.0, rare=0.5)
    likeness = LikenessScales(images=scale, objects=scale)
    other = Projection(matrix=np.ones((7, 3), np.float32), offset=np.zeros(3, np.float32), likeness=likeness)
    load = partial(load_timm_model, "test_vit", checkpoint=a_checkpoint(tmp_path, "test_vit"))
    with pytest.raises(ModelError, match="projection takes 7 features, and test_vit gives 64: fit one to this model"):
        export_model(tmp_path / "out", load, Photos.read(photos), projection=other)


def test_an_existing_directory_is_kept(tmp_path: Path, photos: Path) -> None:
    checkpoint = a_checkpoint(tmp_path, "test_vit")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").touch()
    load = partial(load_timm_model, "test_vit", checkpoint=checkpoint)
    with pytest.raises(ModelError, match="out exists: remove it first"):
        export_model(tmp_path / "out", load, Photos.read(photos))
    assert (tmp_path / "out" / "precious").exists()


def test_a_loss_of_parity_writes_nothing(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LEAST_COSINE, "f32", 1.01)
    with pytest.raises(ModelError, match="Nothing is written: in f32"):
        export_model(
            tmp_path / "models" / "out",
            partial(load_timm_model, "test_vit", checkpoint=a_checkpoint(tmp_path, "test_vit")),
            Photos.read(photos),
        )
    assert list((tmp_path / "models").iterdir()) == []


def test_the_catalogue_lists_packaged_and_exported_models(default_export: Path) -> None:
    packaged, exported = runnable_models(default_export.parent)
    assert (packaged.name, packaged.packaged) == (DEFAULT, True)
    assert (exported.name, exported.packaged) == (str(default_export), False)
    assert packaged.exported.dimension == 512
    assert exported.exported.preprocessing.size == 320
    assert exported.exported.size_bytes > 4_000_000
    assert [model.name for model in runnable_models()] == [DEFAULT]
    assert [model.name for model in runnable_models(default_export.parent / "absent")] == [DEFAULT]
