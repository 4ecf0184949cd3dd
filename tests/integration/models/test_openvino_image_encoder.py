import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import openvino
import pytest

from adapters.encoders.exported_model import PACKAGED, ExportedModel, packaged_names
from adapters.encoders.golden_pictures import LEAST_COSINE_INT8, golden_pictures
from adapters.encoders.openvino_image_encoder import OpenVinoImageEncoder
from adapters.inference.model_directory import GRAPH, MANIFEST
from adapters.inference.openvino_graph import Hint, Precision, compile_graph
from domain.callers import set_deadline
from domain.errors import DeadlinePassedError, ModelError
from tests.contracts.image_encoder import ImageEncoderContract, UnopenedImageEncoderContract, a_photo

DEFAULT = "tf_efficientnet_lite1"


@pytest.fixture(scope="module")
def open_encoder() -> Iterator[OpenVinoImageEncoder]:
    """Opened once for all of the contract: it is bound to no event loop."""
    encoder = OpenVinoImageEncoder(model=DEFAULT, threads=2)
    asyncio.run(encoder.open())
    yield encoder
    asyncio.run(encoder.close())


class TestOpenVino(ImageEncoderContract, UnopenedImageEncoderContract):
    @pytest.fixture
    def encoder(self, open_encoder: OpenVinoImageEncoder) -> OpenVinoImageEncoder:
        return open_encoder

    @pytest.fixture
    def unopened(self) -> OpenVinoImageEncoder:
        return OpenVinoImageEncoder(model=DEFAULT)


async def test_the_packaged_model_computes_in_int8_and_knows_what_its_cosines_mean(
    open_encoder: OpenVinoImageEncoder,
) -> None:
    description = open_encoder.description
    assert (description.runtime, description.device, description.precision) == ("openvino", "cpu", "int8")
    assert "int8" in open_encoder.space.preprocessing
    assert open_encoder.likeness is not None
    for scale in (open_encoder.likeness.images, open_encoder.likeness.objects):
        assert -0.1 < scale.median < 0.2 < scale.rare < 0.8


@pytest.mark.parametrize("precision", ["f32", "bf16"])
async def test_a_model_in_int8_takes_no_other_precision(precision: Precision) -> None:
    with pytest.raises(ModelError, match="runs in nothing else: leave precision at auto"):
        await OpenVinoImageEncoder(model=DEFAULT, precision=precision).open()


PARITY = """
import numpy as np
from adapters.encoders.exported_model import ExportedModel
from adapters.encoders.golden_pictures import golden_pictures
from adapters.encoders.openvino_image_encoder import OpenVinoRunner
from adapters.inference.openvino_graph import read_graph
exported = ExportedModel.find("tf_efficientnet_lite1")
embed = OpenVinoRunner(read_graph(exported), device="cpu", precision="f32", threads=1)
expected = exported.golden_embeddings()
print(np.sum(embed(exported.preprocessing.prepared(golden_pictures())) * expected, axis=1).min())
"""


@pytest.mark.parametrize("instructions", ["AVX512_CORE_VNNI", "AVX512_CORE", "AVX2_VNNI", "AVX2"])
def test_all_instruction_sets_share_one_embedding_space(instructions: str) -> None:
    # A machine without the asked-for instructions runs the next lower ones that it has.
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": instructions}
    done = subprocess.run([sys.executable, "-c", PARITY], capture_output=True, text=True, check=True, env=environment)
    assert float(done.stdout) >= LEAST_COSINE_INT8


@pytest.mark.parametrize("hint", ["LATENCY", "THROUGHPUT"])
def test_no_graph_is_bound_to_cores(hint: Hint) -> None:
    # Bound to the first cores of the machine, two processes would share one core and leave the others idle.
    graph = openvino.Core().read_model(PACKAGED / DEFAULT / GRAPH)
    compiled = compile_graph(graph, device="cpu", precision="f32", threads=1, hint=hint)
    assert compiled.model.get_property("ENABLE_CPU_PINNING") is False


async def test_an_absent_device_is_an_error_and_names_what_is_there() -> None:
    with pytest.raises(ModelError, match=r"no device 'npu9' here; it finds .*cpu"):
        await OpenVinoImageEncoder(model=DEFAULT, device="npu9").open()


async def test_an_unknown_model_names_the_packaged_ones() -> None:
    with pytest.raises(ModelError, match=f"no model 'resnet50' .*{DEFAULT}"):
        await OpenVinoImageEncoder(model="resnet50").open()


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ModelError, match="not 'int8'"):
        OpenVinoImageEncoder(model=DEFAULT, precision="int8")  # type: ignore[arg-type]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PACKAGED / DEFAULT, tmp_path / "model"))


async def test_a_copied_directory_runs_in_the_same_space(copy: Path) -> None:
    encoder = OpenVinoImageEncoder(model=str(copy))
    await encoder.open()
    assert encoder.space == ExportedModel.read(PACKAGED / DEFAULT).space
    await encoder.close()


@pytest.mark.parametrize("name", ExportedModel.FILES)
async def test_an_altered_file_is_named(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(ModelError, match=name):
        await OpenVinoImageEncoder(model=str(copy)).open()


@pytest.mark.parametrize("name", [*ExportedModel.FILES, MANIFEST])
async def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(ModelError, match=name):
        await OpenVinoImageEncoder(model=str(copy)).open()


async def test_a_damaged_manifest_is_named(copy: Path) -> None:
    (copy / MANIFEST).write_text('{"format": 1}')
    with pytest.raises(ModelError, match=f"{MANIFEST} does not tell 'model': .*damaged"):
        await OpenVinoImageEncoder(model=str(copy)).open()


async def test_other_embeddings_of_the_golden_pictures_are_refused(copy: Path) -> None:
    golden = np.load(copy / "golden.npy")
    np.save(copy / "golden.npy", golden[::-1])
    exported = ExportedModel.read(copy)
    ExportedModel.write_manifest(
        copy,
        model=exported.model,
        weights_digest=exported.weights_digest,
        dimension=exported.dimension,
        preprocessing=exported.preprocessing.as_mapping(),
        projection=exported.projection,
        int8=exported.int8,
        likeness=asdict(exported.likeness),
        licence=exported.licence,
        made_with=exported.made_with,
    )
    with pytest.raises(ModelError, match="golden pictures"):
        await OpenVinoImageEncoder(model=str(copy)).open()


async def test_work_whose_deadline_has_passed_is_dropped() -> None:
    encoder = OpenVinoImageEncoder(model=DEFAULT)
    await encoder.open()

    async def late() -> None:
        set_deadline(-1)
        await encoder.encode([a_photo()])

    with pytest.raises(DeadlinePassedError):
        await asyncio.create_task(late())
    assert len(await encoder.encode(golden_pictures())) == len(golden_pictures())
    await encoder.close()


def test_the_packaged_model_is_complete() -> None:
    assert DEFAULT in packaged_names()
    exported = ExportedModel.find(DEFAULT)
    exported.verify()
    assert exported.weights_digest.startswith("77cc7160")
    assert exported.licence == "apache-2.0"
    assert "Apache-2.0" in (exported.directory / "NOTICE").read_text(encoding="utf-8")


def test_the_default_runs_without_torch() -> None:
    program = """
import asyncio, sys
for absent in ("torch", "torchvision", "timm", "safetensors", "huggingface_hub"):
    sys.modules[absent] = None
from adapters.encoders.golden_pictures import golden_pictures
from adapters.encoders.openvino_image_encoder import OpenVinoImageEncoder

async def main():
    encoder = OpenVinoImageEncoder(model="tf_efficientnet_lite1")
    await encoder.open()
    print((await encoder.encode(golden_pictures()[:1])).shape)
    await encoder.close()
    assert not any(name.startswith("adapters.toolchain") for name in sys.modules)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "(1, 512)", done.stderr
