import inspect
import json
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from adapters.detectors.coco_labels import COCO_LABELS
from adapters.detectors.torchvision_object_detector import TorchvisionObjectDetector
from adapters.inference.model_directory import sha256_of
from adapters.toolchain.torchvision_model import (
    TRAINED_WITHOUT_EPSILON,
    detector_names,
    load_torchvision_model,
    untrained,
)
from domain.errors import ModelError
from tests.contracts.object_detector import ObjectDetectorContract, UnopenedObjectDetectorContract
from tests.torchvision_checkpoints import save_torch, seeded_detector

SSD = "ssdlite320_mobilenet_v3_large"
RCNN = "fasterrcnn_mobilenet_v3_large_320_fpn"


@pytest.fixture(scope="module")
def ssd_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_torch(SSD, tmp_path_factory.mktemp("ssd") / "seeded.pth")


@pytest.fixture(scope="module")
def rcnn_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_torch(RCNN, tmp_path_factory.mktemp("rcnn") / "seeded.pth")


@pytest.fixture(scope="module")
def ssd(ssd_checkpoint: Path) -> TorchvisionObjectDetector:
    return TorchvisionObjectDetector(partial(load_torchvision_model, SSD, checkpoint=ssd_checkpoint))


@pytest.fixture(scope="module")
def rcnn(rcnn_checkpoint: Path) -> TorchvisionObjectDetector:
    return TorchvisionObjectDetector(partial(load_torchvision_model, RCNN, checkpoint=rcnn_checkpoint))


class TestSsd(ObjectDetectorContract, UnopenedObjectDetectorContract):
    HALF_SIZE_SHARE = 0.25  # random weights respond to single pixels; boxes of another scale would share nothing

    @pytest.fixture
    async def detector(self, ssd: TorchvisionObjectDetector) -> TorchvisionObjectDetector:
        await ssd.open()
        return ssd

    @pytest.fixture
    def unopened(self) -> TorchvisionObjectDetector:
        return TorchvisionObjectDetector(partial(load_torchvision_model, SSD))

    async def test_what_runs(self, detector: TorchvisionObjectDetector, ssd_checkpoint: Path) -> None:
        description = detector.description
        assert (description.model, description.runtime, description.precision) == (SSD, "torch", "f32")
        assert description.weights_digest == sha256_of(ssd_checkpoint)
        assert (description.input_width, description.input_height) == (320, 320)
        assert len(detector.labels) == 80


class TestFasterRcnn(ObjectDetectorContract):
    HALF_SIZE_SHARE = 0.25  # random weights respond to single pixels; boxes of another scale would share nothing

    @pytest.fixture
    async def detector(self, rcnn: TorchvisionObjectDetector) -> TorchvisionObjectDetector:
        await rcnn.open()
        return rcnn


def test_cocos_labels_are_those_of_torchvisions_weights() -> None:
    for name in detector_names():
        for member in torchvision.models.get_model_weights(name):
            categories = member.meta["categories"]
            if len(categories) == len(COCO_LABELS):
                names = tuple(None if label in {"__background__", "N/A"} else label for label in categories)
                assert names == COCO_LABELS


def test_where_torchvision_leaves_epsilon_out_so_do_we() -> None:
    with_epsilon = {
        (name, line.strip().rsplit(".", 1)[1].rstrip(":"))
        for name in detector_names()
        for line, following in pairwise(inspect.getsource(torchvision.models.get_model_builder(name)).splitlines())
        if "overwrite_eps(model, 0.0)" in following
    }
    assert with_epsilon == TRAINED_WITHOUT_EPSILON


def test_published_weights_bring_their_labels_and_their_epsilon(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As with the network: the download is replaced, and so is the digest in the published address."""
    name = "keypointrcnn_resnet50_fpn"
    module = untrained(name, classes=2)
    file = tmp_path / "made.pth"
    torch.save(module.state_dict(), file)
    digest = sha256_of(file)
    member = torchvision.models.get_model_weights(name)["COCO_V1"]
    url = f"https://weights.example/{name}-{digest[:8]}.pth"
    monkeypatch.setattr(member.value, "url", url)
    asked: list[str] = []

    def download(address: str, path: str, *, hash_prefix: str, progress: bool) -> None:
        asked.append(address)
        assert digest.startswith(hash_prefix)
        assert not progress
        Path(path).write_bytes(file.read_bytes())

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for _ in range(2):
        loaded = load_torchvision_model(name, weights="COCO_V1", cache=tmp_path / "cache")
    assert asked == [url]
    assert loaded.weights_digest == digest
    assert loaded.names == (None, "person")
    assert loaded.module.roi_heads.keypoint_head is None  # type: ignore[union-attr]
    normalisations = [layer for layer in loaded.module.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert normalisations
    assert {layer.eps for layer in normalisations} == {0.0}


def test_published_weights_that_were_altered_in_the_cache_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ssdlite320_mobilenet_v3_large_coco-a79551df.pth").write_bytes(b"something else")
    with pytest.raises(ModelError, match="not the expected one"):
        load_torchvision_model(SSD, cache=tmp_path)


def test_without_a_network_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    told = r"could not be fetched .*no route to host.* bring that directory here.* local checkpoint"
    with pytest.raises(ModelError, match=told):
        load_torchvision_model(SSD, cache=tmp_path)


def test_unknown_names_are_answered_with_near_ones() -> None:
    with pytest.raises(ModelError, match=f"no detector 'ssdlite_mobilenet_v3_large': choose {SSD}"):
        load_torchvision_model("ssdlite_mobilenet_v3_large")
    with pytest.raises(ModelError, match=r"no weights 'COCO_V9' .* choose COCO_V1"):
        load_torchvision_model(SSD, weights="COCO_V9")


def test_another_digest_is_refused_before_anything_is_loaded(ssd_checkpoint: Path) -> None:
    with pytest.raises(ModelError, match="not the expected one"):
        load_torchvision_model(SSD, checkpoint=ssd_checkpoint, checkpoint_sha256="0" * 64)
    digest = sha256_of(ssd_checkpoint)
    assert load_torchvision_model(SSD, checkpoint=ssd_checkpoint, checkpoint_sha256=digest).weights_digest == digest


def test_a_checkpoint_of_another_model_is_refused(ssd_checkpoint: Path) -> None:
    with pytest.raises(ModelError, match=f"does not fit {RCNN} with 91 classes"):
        load_torchvision_model(RCNN, checkpoint=ssd_checkpoint)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"model": seeded_detector}, tmp_path / "evil.pth")
    with pytest.raises(ModelError, match="else than weights"):
        load_torchvision_model(SSD, checkpoint=tmp_path / "evil.pth")


@pytest.mark.parametrize("name", ["missing.pth", "damaged.pth", "damaged.safetensors"])
def test_a_checkpoint_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    if name.startswith("damaged"):
        (tmp_path / name).write_bytes(b"no checkpoint at all")
    with pytest.raises(ModelError, match=name):
        load_torchvision_model(SSD, checkpoint=tmp_path / name)


def test_a_checkpoint_with_values_that_are_not_finite_is_refused(ssd_checkpoint: Path, tmp_path: Path) -> None:
    state = torch.load(ssd_checkpoint, weights_only=True)
    next(iter(state.values()))[0] = float("nan")
    torch.save(state, tmp_path / "damaged.pth")
    with pytest.raises(ModelError, match="not finite"):
        load_torchvision_model(SSD, checkpoint=tmp_path / "damaged.pth")


def test_a_model_trained_on_other_labels(tmp_path: Path) -> None:
    """As torchvision's own training saves it, and as safetensors that name their labels."""
    state = seeded_detector(SSD, classes=3).state_dict()
    torch.save({"model": state, "epoch": 12}, tmp_path / "trained.pth")
    with pytest.raises(ModelError, match="give its labels file"):
        load_torchvision_model(SSD, checkpoint=tmp_path / "trained.pth")
    labels_file = tmp_path / "labels.txt"
    labels_file.write_text("__background__\nhat\nshoe\n")
    trained = load_torchvision_model(SSD, checkpoint=tmp_path / "trained.pth", labels_file=labels_file)
    assert trained.names == (None, "hat", "shoe")
    save_file(state, tmp_path / "trained.safetensors", metadata={"labels": json.dumps(["__background__", "a", "b"])})
    assert load_torchvision_model(SSD, checkpoint=tmp_path / "trained.safetensors").names == (None, "a", "b")


@pytest.mark.parametrize("content", [None, b"", b"__background__\n", b"\xff\xfe\xff"])
def test_labels_that_cannot_be_read_are_refused(ssd_checkpoint: Path, tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(ModelError, match=r"labels\.txt"):
        load_torchvision_model(SSD, checkpoint=ssd_checkpoint, labels_file=tmp_path / "labels.txt")


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "tpu", "mps"])
async def test_an_absent_device_is_an_error(device: str, ssd_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match=device):
        await TorchvisionObjectDetector(
            partial(load_torchvision_model, SSD, checkpoint=ssd_checkpoint), device=device
        ).open()
