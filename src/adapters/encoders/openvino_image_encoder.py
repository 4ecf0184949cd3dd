"""Encoding by OpenVINO: an exported timm model, without torch."""

import numpy as np
import openvino
from typing_extensions import override

from adapters.encoders.batch_size import openvino_batch
from adapters.encoders.encoding_pipeline import EncodingPipeline, LoadedEncoder, PipelineImageEncoder
from adapters.encoders.exported_model import ExportedModel
from adapters.encoders.golden_pictures import LEAST_COSINE, LEAST_COSINE_INT8, check_parity, golden_pictures
from adapters.encoders.preprocessing import Pixels
from adapters.inference.openvino_graph import Precision, checked_precision, compile_graph, read_graph
from domain.embeddings import Embeddings
from domain.errors import ModelError
from domain.models import ModelDescription


class OpenVinoImageEncoder(PipelineImageEncoder):
    """Runs an exported encoder.

    `model` is the name of a packaged model, or the path of an exported directory. `precision` auto is int8 for a model
    exported in it, which takes no other; else bf16 where the device computes in it, or f32. `threads` 0 leaves their
    number to OpenVINO.
    """

    def __init__(self, *, model: str, device: str = "cpu", precision: Precision = "auto", threads: int = 0) -> None:
        super().__init__()
        self._model = model
        self._device = device
        self._precision = checked_precision(precision)
        self._threads = threads

    @override
    def _load(self) -> LoadedEncoder:
        exported = ExportedModel.find(self._model)
        exported.verify()
        if exported.int8 and self._precision != "auto":
            raise ModelError(f"{exported.model} is exported in int8 and runs in nothing else: leave precision at auto.")
        # What an int8 graph has in float is small, and stays the same on all machines.
        hint: Precision = "f32" if exported.int8 else self._precision
        runner = OpenVinoRunner(read_graph(exported), device=self._device, precision=hint, threads=self._threads)
        precision = "int8" if exported.int8 else runner.precision
        # Also the warm-up: the pictures one by one, then together, so that both ways of running have run.
        pixels = exported.preprocessing.prepared(golden_pictures())
        one_by_one = np.concatenate([runner(pixels[i : i + 1]) for i in range(len(pixels))])
        for embeddings in (one_by_one, runner(pixels)):
            check_parity(
                embeddings,
                exported.golden_embeddings(),
                runtime=f"OpenVINO on {runner.device} in {precision}",
                least=LEAST_COSINE_INT8 if exported.int8 else LEAST_COSINE,
            )
        pipeline = EncodingPipeline(
            preprocessing=exported.preprocessing,
            dimension=exported.dimension,
            infer=runner,
            batch=openvino_batch(runner.streams),
            name="openvino-encoder",
        )
        description = ModelDescription(
            model=exported.model,
            weights_digest=exported.weights_digest,
            runtime="openvino",
            device=runner.device,
            precision=precision,
            input_width=exported.preprocessing.size,
            input_height=exported.preprocessing.size,
        )
        return LoadedEncoder(exported.space, description, pipeline, exported.likeness)


class OpenVinoRunner:
    """The compiled graph, twice: one picture on all threads, or many pictures on a thread or a few each.

    Measured on two cores in bf16: one picture takes 5.4 ms with all threads, 9 ms in a stream of its own; many go
    through at 185 a second one after the other, 235 in streams, at the cost of 40 MB. A graph with a dynamic batch
    gave 190 to 220, and held 600 MB after a batch of 32.
    """

    def __init__(self, graph: openvino.Model, *, device: str, precision: Precision, threads: int) -> None:
        whole = compile_graph(graph, device=device, precision=precision, threads=threads)
        streams = compile_graph(graph, device=device, precision=precision, threads=threads, hint="THROUGHPUT").model
        self._one = whole.model.create_infer_request()
        self.streams = int(streams.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self._many = openvino.AsyncInferQueue(streams, self.streams)
        self._many.set_callback(_keep)
        self._dimension = graph.output().shape[1]
        self.device = whole.device
        self.precision = whole.precision

    def __call__(self, pixels: Pixels) -> Embeddings:
        """L2-normalised vectors, shape (n, dimension), of pixels (n, size, size, 3). One call at a time."""
        embeddings = np.empty((len(pixels), self._dimension), dtype=np.float32)
        if len(pixels) == 1:
            # Without sharing, OpenVINO would copy into the memory that the previous call shared.
            embeddings[0] = self._one.infer([pixels], share_inputs=True, share_outputs=True)[0][0]
            return embeddings
        for index in range(len(pixels)):
            self._many.start_async([pixels[index : index + 1]], embeddings[index], share_inputs=True)
        self._many.wait_all()
        return embeddings


def _keep(request: openvino.InferRequest, target: Embeddings) -> None:
    target[...] = request.get_output_tensor(0).data[0]
