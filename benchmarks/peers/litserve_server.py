"""Peer (b): LitServe with batching serves the same timm model; a flat faiss index in its worker searches.

`python -m benchmarks.peers.litserve_server --port 8772 [--vectors FILE.npy]`. One worker, since two would share the
cores and not the index. A request is a form with `file` and `op`, `index` or `search`.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import litserve
import numpy as np
from fastapi import Request
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.peers.model import BATCH, DIMENSION, Features, preprocess

BATCH_TIMEOUT_SECONDS = 0.005
LIMIT = 10


class Asked(NamedTuple):
    """One request, its picture decoded."""

    op: str
    picture: Tensor


class Embedded(NamedTuple):
    """One request, its picture encoded."""

    op: str
    vector: NDArray[np.float32]


class SimilarityApi(litserve.LitAPI):  # type: ignore[misc]
    """Decode, encode as a batch, then add to the index or search it."""

    vectors: Path | None = None

    def setup(self, device: str) -> None:
        """Load the model and the index, in the worker."""
        self._features = Features()
        self._index = faiss.IndexFlatIP(DIMENSION)
        if self.vectors is not None:
            self._index.add(np.load(self.vectors))

    def decode_request(self, request: Request, **_: object) -> Asked:
        """A form's file and op."""
        form: Any = request
        return Asked(form["op"], preprocess(form["file"].file.read()))

    def batch(self, inputs: list[Asked]) -> list[Asked]:
        """Keep the ops beside the pictures; the model stacks these."""
        return inputs

    def predict(self, x: list[Asked], **_: object) -> list[Embedded]:
        """Vectors of a batch."""
        vectors = self._features([asked.picture for asked in x])
        return [Embedded(asked.op, vector) for asked, vector in zip(x, vectors, strict=True)]

    def unbatch(self, output: list[Embedded]) -> list[Embedded]:
        """One result for each request."""
        return output

    def encode_response(self, output: Embedded, **_: object) -> dict[str, Any]:
        """Add, or search."""
        if output.op == "index":
            self._index.add(output.vector[np.newaxis])
            return {"indexed": self._index.ntotal}
        scores, ids = self._index.search(output.vector[np.newaxis], LIMIT)
        return {"ids": ids[0].tolist(), "scores": scores[0].tolist()}


def main() -> None:
    """Serve on the loopback."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--vectors", type=Path)
    given = arguments.parse_args()
    api = SimilarityApi(max_batch_size=BATCH, batch_timeout=BATCH_TIMEOUT_SECONDS)
    api.vectors = given.vectors
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=120)
    server.run(host="127.0.0.1", port=given.port, num_api_servers=1, generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main()
