"""Peer (a), as a tutorial builds it: FastAPI, timm in eager torch, qdrant-client in local mode.

`python -m benchmarks.peers.tutorial --port 8771 [--vectors FILE.npy]`. In memory, which is faster than local mode on
disk. The vectors are in the collection before it serves.
"""

import argparse
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, UploadFile
from numpy.typing import NDArray
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, PointStruct, VectorParams

from benchmarks.peers.model import BATCH, DIMENSION, Features, preprocess

COLLECTION = "pictures"


def application(features: Features, client: QdrantClient) -> FastAPI:
    """Plain functions, which FastAPI runs on threads: decoding overlaps, the client is used in turns.

    The model has a thread of its own: with a lock instead, 8 clients got as much done, but p99 was twice as long, since
    every thread that calls torch gets threads of its own.
    """
    app = FastAPI()
    turn, model = threading.Lock(), ThreadPoolExecutor(1)

    def embed(contents: list[bytes]) -> NDArray[np.float32]:
        pictures = [preprocess(content) for content in contents]
        batches = [model.submit(features, pictures[at : at + BATCH]) for at in range(0, len(pictures), BATCH)]
        return np.concatenate([batch.result() for batch in batches])

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/images")
    def index(files: list[UploadFile]) -> dict[str, int]:
        vectors = embed([file.file.read() for file in files])
        points = [
            PointStruct(id=str(uuid.uuid4()), vector=vector.tolist(), payload={"filename": file.filename})
            for vector, file in zip(vectors, files, strict=True)
        ]
        with turn:
            client.upsert(COLLECTION, points)
        return {"indexed": len(points)}

    @app.post("/search")
    def search(file: UploadFile, limit: int = 10) -> list[dict[str, Any]]:
        [vector] = embed([file.file.read()])
        with turn:
            hits = client.query_points(COLLECTION, query=vector.tolist(), limit=limit).points
        return [{"id": hit.id, "score": hit.score, "payload": hit.payload} for hit in hits]

    return app


def main() -> None:
    """Serve on the loopback."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--vectors", type=Path)
    given = arguments.parse_args()
    client = QdrantClient(":memory:")
    client.create_collection(COLLECTION, VectorParams(size=DIMENSION, distance=Distance.COSINE))
    if given.vectors is not None:
        vectors = np.load(given.vectors)
        payload = [{"filename": f"{number}.jpg"} for number in range(len(vectors))]
        client.upload_collection(COLLECTION, vectors, payload=payload, batch_size=1000)
    uvicorn.run(application(Features(), client), host="127.0.0.1", port=given.port, log_level="warning")


if __name__ == "__main__":
    main()
