"""Cross-view quadratic discriminant analysis (XQDA): a metric fitted in closed form on pairs across cameras.

Source: Liao, Hu, Zhu and Li, "Person re-identification by local maximal occurrence representation and metric learning", CVPR
2015, as the MARS authors use it (MARS-evaluation, LOMO_XQDA/code/XQDA.m and utils/gen_train_sample_xqda.m). Where the paper
derives a generalised eigenvalue problem, that code takes singular vectors; we follow the code. Its halves of the tracklets are
drawn without a seed; ours follow from the run's.
"""

import numpy as np

from baselines.interface.errors import UserError
from benchmarks.seeds import generator

RIDGE = 0.001  # added to the diagonal of the intra-person covariance; in units of features of length 1


def fit_xqda(features: np.ndarray, pids: np.ndarray, camids: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The metric (a - b)^T W M W^T (a - b) of features at unit length, as a projection P (D, R) and signs s (R,), float32.

    W M W^T = P diag(s) P^T. M is not positive definite in general, so that distances may be negative.

    Args:
        features: (N, D) of the training tracklets; they are scaled to length 1.
        pids, camids: (N,) of the tracklets.
        seed: of the run, from which the two halves of each person's tracklets are drawn.

    Raises:
        UserError: fewer than two people with tracklets in different cameras, or features that are all alike or not finite.
    """
    unit = features.astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    first, second = draw_pairs(pids, camids, seed)
    if len(np.unique(pids[first])) < 2:
        raise UserError(
            "metric=xqda: needs two training identities with tracklets in different cameras; use metric=euclidean or cosine"
        )
    x, z = unit[first], unit[second]
    basis = None
    if x.shape[1] > len(x) + len(z):  # the same metric from smaller matrices: outside this basis no pair differs
        basis, coordinates = np.linalg.qr(np.concatenate([x, z]).T)
        x, z = np.split(coordinates.T, [len(x)])
    intra, extra, _ = pair_covariances(x, z, pids[first], pids[second])
    intra[np.diag_indices_from(intra)] += RIDGE
    try:
        left, singular, _ = np.linalg.svd(np.linalg.solve(intra, extra))
        subspace = left[:, : max(1, np.count_nonzero(singular > 1))]
        kernel = np.linalg.inv(subspace.T @ intra @ subspace) - np.linalg.inv(subspace.T @ extra @ subspace)
        values, vectors = np.linalg.eigh((kernel + kernel.T) / 2)
    except np.linalg.LinAlgError as error:
        raise UserError(
            f"metric=xqda: cannot be fitted to the features of the training tracklets ({error}); use metric=euclidean or cosine"
        ) from error
    projection = subspace @ vectors * np.sqrt(np.abs(values))
    projection = projection if basis is None else basis @ projection
    return projection.astype(np.float32), np.sign(values).astype(np.float32)


def draw_pairs(pids: np.ndarray, camids: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two sets of tracklets, of equal length.

    Each person's tracklets are split at random in two halves. The halves are compared position by position, and a position is
    kept where the two cameras differ.
    """
    draw = generator("xqda", seed)
    halves = []
    for pid in np.unique(pids):
        rows = draw.permutation(np.flatnonzero(pids == pid))
        half = len(rows) // 2
        halves.append(np.stack([rows[:half], rows[half : 2 * half]]))
    first, second = np.concatenate(halves, axis=1)
    differ = camids[first] != camids[second]
    return first[differ], second[differ]


def pair_covariances(
    x: np.ndarray, z: np.ndarray, x_pids: np.ndarray, z_pids: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Second moments (D, D) of x_i - z_j over all pairs of one person and over all pairs of two, and the number of the former.

    Args:
        x, z: (N, D) and (M, D).
        x_pids, z_pids: (N,) and (M,).
    """
    people = np.unique(np.concatenate([x_pids, z_pids]))
    x_people, z_people = (np.searchsorted(people, part) for part in (x_pids, z_pids))
    x_counts, z_counts = (np.bincount(part, minlength=len(people)) for part in (x_people, z_people))
    x_sums, z_sums = (np.zeros((len(people), x.shape[1])) for _ in range(2))
    np.add.at(x_sums, x_people, x)
    np.add.at(z_sums, z_people, z)

    crossed = x_sums.T @ z_sums
    intra = (x * z_counts[x_people, None]).T @ x + (z * x_counts[z_people, None]).T @ z - crossed - crossed.T
    crossed = np.outer(x_sums.sum(axis=0), z_sums.sum(axis=0))
    extra = len(z) * x.T @ x + len(x) * z.T @ z - crossed - crossed.T - intra
    pairs = int(x_counts @ z_counts)
    return intra / pairs, extra / (len(x) * len(z) - pairs), pairs
