"""Random draws by name: a seed is the sha256 of the named parts it depends on.

So a draw does not change when another is added, and batch i of a run is the same whether or not the batches before it
were drawn in this process.
"""

import hashlib

import numpy as np


def derive(*parts: object) -> int:
    """A seed of 63 bits from the parts that the draw depends on, for example ("batch", seed, i)."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*parts: object) -> np.random.Generator:
    """numpy's generator seeded by `derive(*parts)`."""
    return np.random.Generator(np.random.PCG64(derive(*parts)))
