"""One batch through mean pooling, by definition: NumPy in float64, loops, gradients by differences; nothing of this project.

`python tests/golden/reference_batch.py` prints the numbers that stand in test_golden_batch.py. All inputs are formulas.
"""

import json

import numpy as np

B, T, H, W, K = 4, 2, 8, 4, 3
LABELS = [0, 0, 2, 2]
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
SHAPES = {"first": (4, 3, 3, 3), "last": (5, 4, 3, 3), "classifier": (K, 5), "bias": (K,)}
SHOWN = {"first": (1, 2, 0, 1), "last": (3, 1, 2, 2), "classifier": (2, 4), "bias": (1,)}
STEP = 1e-5


def pixels() -> np.ndarray:
    """(B, T, 3, H, W) whole numbers from 0 to 255."""
    b, t, c, y, x = np.indices((B, T, 3, H, W))
    return (13 * b * b + 29 * t + 53 * c + 7 * y * y + 11 * x + 17 * b * t * (x + 1) + 5 * b * c * y) % 256


def weights() -> dict[str, np.ndarray]:
    """Numbers between -0.3 and 0.3 that repeat nowhere."""
    made = {}
    for number, (name, shape) in enumerate(SHAPES.items()):
        n = np.arange(np.prod(shape))
        made[name] = 0.3 * np.sin(0.7 * n * n + n + number).reshape(shape)
    return made


def convolve(image: np.ndarray, kernels: np.ndarray, stride: int) -> np.ndarray:
    """3 x 3, with a border of zeros: (C, h, w) to (D, h / stride, w / stride)."""
    channels, height, width = image.shape
    padded = np.zeros((channels, height + 2, width + 2))
    padded[:, 1:-1, 1:-1] = image
    out = np.empty((len(kernels), height // stride, width // stride))
    for d, y, x in np.ndindex(out.shape):
        out[d, y, x] = (padded[:, y * stride : y * stride + 3, x * stride : x * stride + 3] * kernels[d]).sum()
    return out


def embeddings(w: dict[str, np.ndarray]) -> np.ndarray:
    """(B, 5): of each frame a convolution of stride 2, a ReLU, a convolution, the mean over the map; then over the frames."""
    made = np.zeros((B, 5))
    for b, t in np.ndindex(B, T):
        image = (pixels()[b, t] / 255 - MEAN[:, None, None]) / STD[:, None, None]
        hidden = np.maximum(convolve(image, w["first"], 2), 0)
        made[b] += convolve(hidden, w["last"], 1).mean(axis=(1, 2)) / T
    return made


def triplet(vectors: np.ndarray, margin: float) -> float:
    """The hardest pairs of each clip: the hinge, or with margin 0 the soft margin."""
    terms = []
    for a in range(B):
        distances = [float(np.sqrt(((vectors[a] - vectors[b]) ** 2).sum())) for b in range(B)]
        farthest = max(distances[b] for b in range(B) if LABELS[b] == LABELS[a])
        nearest = min(distances[b] for b in range(B) if LABELS[b] != LABELS[a])
        hardest = farthest - nearest
        terms.append(max(0.0, hardest + margin) if margin else float(np.log1p(np.exp(hardest))))
    return sum(terms) / B


def cross_entropy(logits: np.ndarray, smoothing: float) -> float:
    """1 - s of the target on the clip's class, s over all classes alike."""
    total = 0.0
    for row, label in zip(logits, LABELS, strict=True):
        logs = row - np.log(np.exp(row).sum())
        total -= (1 - smoothing) * logs[label] + smoothing * logs.mean()
    return total / B


def losses(w: dict[str, np.ndarray], trainer: str) -> tuple[np.ndarray, float, float]:
    """Logits, triplet and cross-entropy, as Gao and Nevatia's trainer or that of STE-NVAN's baseline has them."""
    vectors = embeddings(w)
    if trainer == "gao-nevatia":  # a bias, no normalisation
        logits = vectors @ w["classifier"].T + w["bias"]
        return logits, triplet(vectors, 0.3), cross_entropy(logits, 0.1)
    normalised = (vectors - vectors.mean(axis=0)) / np.sqrt(vectors.var(axis=0) + 1e-5)
    logits = normalised @ w["classifier"].T
    return logits, triplet(vectors, 0.0), cross_entropy(logits, 0.0)


def gradient(trainer: str, name: str, place: tuple[int, ...]) -> float:
    """Of the sum of both losses by one weight: the central difference."""
    values = []
    for sign in (1, -1):
        w = weights()
        w[name][place] += sign * STEP
        values.append(sum(losses(w, trainer)[1:]))
    return (values[0] - values[1]) / (2 * STEP)


def adam(lr: float, decay: float) -> list[float]:
    """Three weights after three steps along given gradients, the decay added to them (Kingma and Ba, Algorithm 1)."""
    w, m, v = np.array([0.5, -0.25, 2.0]), np.zeros(3), np.zeros(3)
    for step in (1, 2, 3):
        g = np.array([0.1, -0.02, 3.0]) * step**2 - 0.05 + decay * w
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w = w - lr * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return w.tolist()


# Tracklets to rank: (person, camera); -1 is junk and 0 a distractor.
QUERIES = [(1, 1), (2, 1), (3, 2), (4, 1)]
GALLERY = [
    (1, 2),
    (0, 1),
    (1, 1),
    (2, 3),
    (-1, 2),
    (3, 1),
    (2, 2),
    (1, 3),
    (0, 2),
    (3, 3),
    (5, 1),
    (2, 1),
    (3, 2),
    (1, 2),
]


def distances(queries: int, gallery: int) -> np.ndarray:
    q, g = np.indices((queries, gallery))
    return (37 * (q + 3) * (g + 1) ** 2 + 11 * g) % 101 / 101 + 1e-3 * g


def metrics(protocol: str) -> dict[str, float]:
    """`standard`: the gallery alone, rectangles. `official`: the queries follow in the gallery, trapezoids."""
    gallery = GALLERY + (QUERIES if protocol == "official" else [])
    precisions, firsts = [], []
    for q, (pid, camera) in enumerate(QUERIES):
        place, hits, total, before = 0, 0, 0.0, 1.0
        first = None
        for g in np.argsort(distances(len(QUERIES), len(gallery))[q]):
            other, where = gallery[g]
            if other == -1 or (other, where) == (pid, camera):
                continue
            place += 1
            hits += other == pid
            now = hits / place
            if other == pid:
                total += (before + now) / 2 if protocol == "official" else now
                first = first or place
            before = now
        if hits:
            precisions.append(total / hits)
            firsts.append(first)
    ranks = {f"R{k}": float(np.mean([first <= k for first in firsts])) for k in (1, 5)}
    return {"mAP": float(np.mean(precisions)), **ranks}


def main() -> None:
    """Print all numbers."""
    found: dict[str, object] = {"embeddings": embeddings(weights()).tolist()}
    for trainer in ("gao-nevatia", "ste-nvan-baseline"):
        logits, *terms = losses(weights(), trainer)
        names = [name for name in SHOWN if trainer == "gao-nevatia" or name != "bias"]
        found[trainer] = {
            "logits": logits.tolist(),
            "triplet": terms[0],
            "class": terms[1],
            "gradients": {name: gradient(trainer, name, SHOWN[name]) for name in names},
        }
    found["adam"] = {"gao-nevatia": adam(3e-4, 5e-4), "ste-nvan-baseline": adam(1e-4, 1e-5)}
    found["metrics"] = {protocol: metrics(protocol) for protocol in ("standard", "official")}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
