"""Random draws by name: a seed is the sha256 of the named parts that it depends on.

A draw does not change when another one is added, and batch i of a run is the same whether or not this process drew the
batches before it.
"""

import hashlib

import numpy as np


def derive(*parts: object) -> int:
    """A 63-bit seed from the parts that a draw depends on, for example ("batch", seed, i)."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*parts: object) -> np.random.Generator:
    """A numpy generator seeded by `derive(*parts)`."""
    return np.random.Generator(np.random.PCG64(derive(*parts)))
