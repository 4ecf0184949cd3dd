"""Peer (c), as an offline script does it: one loop over the files, timm in eager torch, a flat faiss index.

`python -m benchmarks.peers.plain_loop DIR [--save FILE.npy]` prints one line of JSON. Its time begins when the model
is loaded.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import median

import faiss
import numpy as np

from benchmarks.peers.model import BATCH, DIMENSION, Features, preprocess

QUERIES = 50


def main() -> None:
    """Index a folder, then search with some of its pictures."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("directory", type=Path)
    arguments.add_argument("--save", type=Path)
    given = arguments.parse_args()
    features, index = Features(), faiss.IndexFlatIP(DIMENSION)
    paths = sorted(given.directory.glob("*.jpg"))
    features([preprocess(path.read_bytes()) for path in paths[:BATCH]])

    started, cpu = time.perf_counter(), time.process_time()
    for first in range(0, len(paths), BATCH):
        index.add(features([preprocess(path.read_bytes()) for path in paths[first : first + BATCH]]))
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu

    milliseconds = []
    for path in paths[:QUERIES]:
        started = time.perf_counter()
        index.search(features([preprocess(path.read_bytes())]), 10)
        milliseconds.append((time.perf_counter() - started) * 1000)
    if given.save is not None:
        np.save(given.save, index.reconstruct_n(0, index.ntotal))
    measured = {"seconds": seconds, "cpu_seconds": cpu, "pictures": len(paths), "search_ms": median(milliseconds)}
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
