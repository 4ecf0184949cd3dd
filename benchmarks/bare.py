"""The stages, each as the bare call of its library: Pillow, OpenVINO, the embedded engine, files.

They do what the service does (same sizes, precision, search parameters, fsync) and nothing around it.
"""

import io
import os
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import openvino
import qdrant_edge as engine
from numpy.typing import NDArray
from PIL import Image

from adapters.encoders.exported_model import ExportedModel
from adapters.inference.openvino_graph import read_graph
from adapters.repositories.qdrant.embedded.engine import HNSW_EF, OVERSAMPLING
from adapters.repositories.qdrant.embedded.manifest import Manifest
from adapters.repositories.qdrant.layout import image_vector
from adapters.toolchain.bundled_conversion import prepare_bundled_detector
from domain.embeddings import Embedding, Embeddings
from domain.models import SUFFICIENT_SCALE
from domain.raster import RasterImage
from entrypoints.container import Container
from entrypoints.settings import Settings

Pixels = NDArray[np.uint8]

GROUP = 16
"""Pictures that go into the index together."""

MATCHES = 11
"""What a search for 10 asks the index for, to see whether there are more."""


def model() -> ExportedModel:
    """The default encoder."""
    return ExportedModel.find(Settings(_env_file=None).encoder.model)


def decode(content: bytes) -> Pixels:
    """By Pillow, scaled down as far as the models allow."""
    with Image.open(io.BytesIO(content)) as picture:
        sufficient = SUFFICIENT_SCALE * 320
        scale = next((scale for scale in (8, 4, 2) if min(picture.size) / scale >= sufficient), None)
        if scale is not None:
            picture.draft(None, (picture.width // scale, picture.height // scale))
        return np.asarray(picture.convert("RGB"))


def thumbnail(pixels: Pixels) -> bytes:
    """A JPEG of at most 384 pixels a side."""
    picture, file = Image.fromarray(pixels), io.BytesIO()
    picture.thumbnail((384, 384), Image.Resampling.HAMMING, reducing_gap=2.0)
    picture.save(file, format="JPEG", quality=85)
    return file.getvalue()


class _Graph:
    """A compiled graph, for one picture at a time and in streams."""

    def __init__(self, graph: openvino.Model, *, int8: bool = False) -> None:
        core = openvino.Core()
        has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        options = {"INFERENCE_PRECISION_HINT": "bf16" if has_bf16 and not int8 else "f32"}
        self._one = core.compile_model(graph, "CPU", options | {"PERFORMANCE_HINT": "LATENCY"}).create_infer_request()
        streams = core.compile_model(graph, "CPU", options | {"PERFORMANCE_HINT": "THROUGHPUT"})
        self._many = openvino.AsyncInferQueue(streams, int(streams.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")))

    def one(self, pixels: Pixels) -> NDArray[np.float32]:
        """The first output for one picture."""
        outputs = self._one.infer([pixels[np.newaxis]], share_inputs=True)
        return np.array(outputs[0][0])

    def many(self, inputs: Iterable[Pixels]) -> None:
        """All of them, results dropped."""
        for pixels in inputs:
            self._many.start_async([pixels[np.newaxis]], share_inputs=True)
        self._many.wait_all()


class Encoder(_Graph):
    """The default encoder."""

    def __init__(self) -> None:
        exported = model()
        super().__init__(read_graph(exported), int8=exported.int8)
        self._preprocessing = exported.preprocessing

    def fit(self, pixels: Pixels) -> Pixels:
        """A picture letterboxed."""
        [fitted] = self._preprocessing.prepared([_raster(pixels)])
        return fitted


class Detector(_Graph):
    """The packaged detector."""

    def __init__(self) -> None:
        exported = prepare_bundled_detector(Settings(_env_file=None).models_dir)
        super().__init__(read_graph(exported))
        self._input = exported.model_input

    def fit(self, pixels: Pixels) -> Pixels:
        """A picture squashed to the input's size."""
        fitted: Pixels = self._input.fitted(pixels)
        return fitted


async def crops(rasters: Sequence[Pixels]) -> list[Pixels]:
    """What of the pictures would be indexed as objects by default."""
    container = Container(settings=Settings(_env_file=None))
    detector, policy = container.detector(), container.policy()
    await detector.open()
    try:
        images = [_raster(pixels) for pixels in rasters]
        found = await detector.detect(images, score_threshold=policy.min_score)
    finally:
        await detector.close()
    return [
        image.crop(policy.crop_box(each.box, width=image.width, height=image.height)).pixels
        for image, objects in zip(images, found, strict=True)
        for each in policy.kept(objects, width=image.width, height=image.height)
    ]


class Files:
    """An original and its thumbnail, durable."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, original_and_thumbnail: tuple[bytes, bytes]) -> None:
        """Write both."""
        for content in original_and_thumbnail:
            with (self._directory / str(uuid.uuid4())).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())


class Index:
    """The engine in this process."""

    def __init__(self, shard: engine.EdgeShard, vector_name: str) -> None:
        self._shard = shard
        self._vector_name = vector_name

    @classmethod
    def of(cls, data_dir: Path) -> Self:
        """The index that the service has in `data_dir`."""
        manifest = Manifest.read(data_dir / "index")
        assert manifest.current is not None
        shard = engine.EdgeShard.load(str(data_dir / "index" / manifest.current.directory))
        return cls(shard, image_vector(manifest.current.space))

    @classmethod
    def new(cls, directory: Path) -> Self:
        """An empty one."""
        directory.mkdir()
        vectors = {"image": engine.EdgeVectorParams(size=model().dimension, distance=engine.Distance.Cosine)}
        return cls(engine.EdgeShard.create(str(directory), engine.EdgeConfig(vectors=vectors)), "image")

    def query(self, vector: Embedding) -> int:
        """As the service searches; how many were found."""
        quantization = engine.QuantizationSearchParams(ignore=False, rescore=True, oversampling=OVERSAMPLING)
        request = engine.QueryRequest(
            limit=MATCHES,
            query=engine.Query.Nearest(vector.tolist(), using=self._vector_name),
            with_payload=True,
            params=engine.SearchParams(hnsw_ef=HNSW_EF, quantization=quantization),
        )
        return len(self._shard.query(request))

    def upsert(self, vectors: Embeddings) -> None:
        """A group of pictures, durable."""
        points = [
            engine.Point(uuid.uuid4(), {self._vector_name: each.tolist()}, {"filename": "a.jpg"}) for each in vectors
        ]
        self._shard.update(engine.UpdateOperation.upsert_points(points))
        self._shard.flush()


def _raster(pixels: Pixels) -> RasterImage:
    return RasterImage(pixels=pixels, width=pixels.shape[1], height=pixels.shape[0])
