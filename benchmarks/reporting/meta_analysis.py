"""The mean effect over several systems, each measured with an error of its own: a random-effects meta-analysis.

Model: y_i = mu + u_i + e_i. The measured effect y_i of system i differs from the mean effect mu by u_i ~ N(0, tau²), because
systems differ, and by the error of its measurement, e_i ~ N(0, s_i²).

- tau² is that of DerSimonian and Laird (Controlled Clinical Trials 7, 1986), from Cochran's Q; 0 if Q is less than expected.
- The interval of mu is that of Hartung and Knapp (Statistics in Medicine 20, 2001) for k systems: Student's t with k - 1 degrees
  of freedom, and a variance that is estimated from how far the systems are from mu. The usual normal interval is too narrow for
  a few systems.
- If the errors are unknown, as after one run of each system, all systems have equal weights: the interval is Student's interval
  of the plain mean.
- The range for the effect of a further system is that of Higgins, Thompson and Spiegelhalter (JRSS A 172, 2009): Student's t
  with k - 2 degrees of freedom.

If the errors are known, the interval of mu contains the true mean about as often as its level says; a test simulates this. With
errors that are estimated from three seeds it contains it somewhat less often. The range for a further system is rough, and too
narrow if the errors are large.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class MetaAnalysis:
    """A mean effect over systems, in the units of the effects.

    Attributes:
        effect, low, high: mu and its interval.
        p: the two-sided p-value of mu = 0.
        error: the standard error from which the interval is computed.
        tau: the standard deviation between systems; that of their measured effects if the errors are unknown.
        q: Cochran's Q, which is k - 1 on average if all systems have the same effect; NaN if the errors are unknown.
        next_low, next_high: the range for the effect of a further system, at the interval's level; infinite for two systems.
        systems: their number, k.
    """

    effect: float
    low: float
    high: float
    p: float
    error: float
    tau: float
    q: float
    next_low: float
    next_high: float
    systems: int


def random_effects(
    effects: Sequence[float], errors: Sequence[float] | None = None, level: float = 0.95
) -> MetaAnalysis:
    """The meta-analysis of k effects.

    Args:
        errors: the standard error of each effect, in the same unit; None if they are unknown.
        level: of the interval and of the range for a further system.

    Raises:
        ValueError: fewer than two effects, or an error that is not positive and finite.
    """
    y, k = np.asarray(effects, float), len(effects)
    s = None if errors is None else np.asarray(errors, float)
    if k < 2 or (s is not None and not (np.isfinite(s).all() and (s > 0).all())):
        raise ValueError("a meta-analysis takes two effects or more, each with a positive standard error")
    if s is None:
        q, variance, weights = math.nan, float(y.var(ddof=1)), np.ones(k)
    else:
        fixed = 1 / s**2
        q = float((fixed * (y - np.average(y, weights=fixed)) ** 2).sum())
        variance = max(0.0, (q - (k - 1)) / float(fixed.sum() - (fixed**2).sum() / fixed.sum()))
        weights = 1 / (s**2 + variance)
    mu = float(np.average(y, weights=weights))
    error = math.sqrt(float((weights * (y - mu) ** 2).sum() / ((k - 1) * weights.sum())))
    half = float(stats.t.isf((1 - level) / 2, k - 1)) * error
    reach = math.inf
    if k > 2:
        reach = float(stats.t.isf((1 - level) / 2, k - 2)) * math.hypot(math.sqrt(variance), error)
    p = float(2 * stats.t.sf(abs(mu) / error, k - 1)) if error else float(mu == 0)
    return MetaAnalysis(mu, mu - half, mu + half, p, error, math.sqrt(variance), q, mu - reach, mu + reach, k)
