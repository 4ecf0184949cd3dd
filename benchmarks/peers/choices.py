"""What the peers could choose, measured: memory format and batch of eager torch.

`python -m benchmarks.peers.choices`, a minute or two.
"""

import time

import torch

from benchmarks.peers.model import Features, preprocess
from benchmarks.pictures import altered_photos

PICTURES = 32
ROUNDS = 3


def main() -> None:
    """Pictures a second for each choice, the best of some rounds in turn."""
    pictures = [preprocess(photo) for photo in altered_photos(PICTURES)]
    choices = {form: Features(memory_format=form) for form in (torch.channels_last, torch.contiguous_format)}
    best: dict[tuple[torch.memory_format, int], float] = {}
    for _ in range(ROUNDS):
        for form, features in choices.items():
            for batch in (1, 2, 4, 8, 16, 32):
                started = time.perf_counter()
                for first in range(0, PICTURES, batch):
                    features(pictures[first : first + batch])
                rate = PICTURES / (time.perf_counter() - started)
                best[form, batch] = max(rate, best.get((form, batch), 0.0))
    for (form, batch), rate in best.items():
        print(f"{form}, batch {batch}: {rate:.0f} pictures/s")


if __name__ == "__main__":
    main()
