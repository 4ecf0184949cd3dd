import asyncio
import subprocess
import sys
from functools import partial
from importlib.metadata import version
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
from adapters.toolchain.encoder_export import LEAST_COSINE, export_model
from adapters.toolchain.timm_model import load_timm_model
from domain.errors import ModelError
from domain.ports.image_encoder import ImageEncoder
from tests.contracts.image_encoder import noise

DEFAULT = "tf_efficientnet_lite2"
EXPORT = """
import sys
from pathlib import Path
from adapters.toolchain.encoder_export import export_model
from adapters.toolchain.timm_model import load_timm_model
export_model(Path(sys.argv[2]), lambda: load_timm_model(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def default_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made as the command makes it, in a process of its own: torch numbers what it names from the process's start."""
    directory = tmp_path_factory.mktemp("models") / DEFAULT
    subprocess.run([sys.executable, "-c", EXPORT, DEFAULT, str(directory)], check=True, capture_output=True)
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


def test_the_export_reproduces_the_packaged_default(default_export: Path) -> None:
    ours, packaged = ExportedModel.read(default_export), ExportedModel.read(PACKAGED / DEFAULT)
    assert ours.space == packaged.space
    cosines = np.sum(ours.golden_embeddings() * packaged.golden_embeddings(), axis=1)
    np.testing.assert_allclose(cosines, 1.0, atol=1e-5)
    if all(version(name) == made for name, made in packaged.made_with.items()):
        # Other versions of the libraries may order the file otherwise; the same ones write it byte for byte.
        assert ours.sha256["openvino_model.bin"] == packaged.sha256["openvino_model.bin"]
        assert ours.sha256["openvino_model.xml"] == packaged.sha256["openvino_model.xml"]


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
def test_any_timm_model_makes_the_round_trip(tmp_path: Path, model: str, options: dict[str, Any]) -> None:
    checkpoint = a_checkpoint(tmp_path, model)
    load = partial(load_timm_model, model, checkpoint=checkpoint, **options)
    _, cosines = export_model(tmp_path / "out", load)
    assert cosines["f32"] >= LEAST_COSINE["f32"]
    torch_encoder = TimmImageEncoder(load)
    openvino_encoder = OpenVinoImageEncoder(model=str(tmp_path / "out"), precision="f32")
    by_torch, by_openvino = (asyncio.run(embeddings(encoder)) for encoder in (torch_encoder, openvino_encoder))
    assert np.sum(by_torch * by_openvino, axis=1).min() > 0.9999
    asyncio.run(_same_space(torch_encoder, openvino_encoder))


async def _same_space(*encoders: ImageEncoder) -> None:
    for encoder in encoders:
        await encoder.open()
    assert len({encoder.space.fingerprint for encoder in encoders}) == 1
    for encoder in encoders:
        await encoder.close()


def test_an_existing_directory_is_kept(tmp_path: Path) -> None:
    checkpoint = a_checkpoint(tmp_path, "test_vit")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").touch()
    with pytest.raises(ModelError, match="out exists: remove it first"):
        export_model(tmp_path / "out", partial(load_timm_model, "test_vit", checkpoint=checkpoint))
    assert (tmp_path / "out" / "precious").exists()


def test_a_loss_of_parity_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LEAST_COSINE, "f32", 1.01)
    with pytest.raises(ModelError, match="Nothing is written: in f32"):
        export_model(
            tmp_path / "models" / "out",
            partial(load_timm_model, "test_vit", checkpoint=a_checkpoint(tmp_path, "test_vit")),
        )
    assert list((tmp_path / "models").iterdir()) == []


def test_the_catalogue_lists_packaged_and_exported_models(default_export: Path) -> None:
    packaged, exported = runnable_models(default_export.parent)
    assert (packaged.name, packaged.packaged) == (DEFAULT, True)
    assert (exported.name, exported.packaged) == (str(default_export), False)
    assert exported.exported.dimension == 1280
    assert exported.exported.preprocessing.size == 320
    assert exported.exported.size_bytes > 9_000_000
    assert [model.name for model in runnable_models()] == [DEFAULT]
    assert [model.name for model in runnable_models(default_export.parent / "absent")] == [DEFAULT]
