"""Results of two methods whose true means are known, query by query."""

import math

import numpy as np
from scipy import stats
from scipy.special import ndtri


def people(rng, identities, queries_each=None):
    """The person of each query: `queries_each` queries of each person, or else at least 1, and 3 on average."""
    counts = 1 + rng.poisson(2, identities) if queries_each is None else queries_each
    return np.repeat(np.arange(identities), counts)


def two_methods(rng, pids, errors=(0.1, 0.08), seeds=1, seed_spread=0.0, precision=False):
    """Results of two methods, (S, Q) each, of true means 1 - errors, from people who differ and queries hard for both.

    seed_spread: of a seed's error rate, by a factor exp(N). precision: not hits but numbers between 0 and 1.
    """
    difficulty = rng.beta(errors[0] * 5, (1 - errors[0]) * 5, pids.max() + 1)[pids]
    query = rng.standard_normal(len(pids))
    for error in errors:
        seed = np.exp(seed_spread * rng.standard_normal((seeds, 1)) - seed_spread**2 / 2)
        p = np.clip(difficulty * seed * error / errors[0], 1e-9, 1 - 1e-9)
        drawn = math.sqrt(0.7) * query + math.sqrt(0.3) * rng.standard_normal((seeds, len(pids)))
        yield 1 - stats.norm.cdf(drawn) ** ((1 - p) / p) if precision else (drawn > ndtri(p)).astype(float)
