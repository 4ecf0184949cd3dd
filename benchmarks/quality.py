"""How often the neighbours of an example photo show the same kind of garment."""

import asyncio

import numpy as np

from benchmarks.pictures import example_photos
from benchmarks.report import Section
from benchmarks.workspace import Workspace
from domain.models import sufficient_side
from entrypoints.container import Container
from entrypoints.settings import Settings


def measure(workspace: Workspace) -> Section:
    """One figure."""
    precision = asyncio.run(precision_at_5(workspace))
    return Section("Quality", [f"P@5 by kind on the example photos, leave-one-out: **{precision:.3f}**"])


async def precision_at_5(workspace: Workspace) -> float:
    """Mean share of the 5 nearest that are of the query's kind (`hat-01.jpg` is a hat), leaving the query out."""
    container = Container(settings=Settings(data_dir=workspace.root))
    encoder, decoder = container.encoder(), container.decoder()
    await encoder.open()
    try:
        photos = example_photos()
        side = sufficient_side(encoder.description)
        each = []
        for photo in photos.values():
            async with decoder.decoded(photo, sufficient_side=side) as picture:
                each.append(await encoder.encode([picture.raster]))
        embeddings = np.concatenate(each)
    finally:
        await encoder.close()
    kinds = np.array([name.rsplit("-", 1)[0] for name in photos])
    similarities = embeddings @ embeddings.T
    np.fill_diagonal(similarities, -np.inf)
    nearest = np.argsort(-similarities, axis=1)[:, :5]
    return float(np.mean(kinds[nearest] == kinds[:, None]))
