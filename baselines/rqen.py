"""`rqen`: the Region-based Quality Estimation Network of Song et al. (AAAI 2018), after its released code.

X^t is the concatenation of three horizontal regions of a frame, each with a quality of its own that is normalised over the
frames: mu_r^t = sigmoid(w_r . m^t + b_r), X_C,r = sum_t mu_r^t X_r^t / sum_t mu_r^t. So the legs in other frames replace
occluded legs. D is three times the backbone's.

The sources contradict each other about the regions: notes on the paper say that body landmarks give them; the code (P-QAN of the
repository Quality-Aware-Network) cuts its map of 7 rows after rows 3 and 5. This follows the code: no pose is needed.

Choices: m^t is the grid of `qan-grid`, so that each region's quality sees the whole frame, as in the code. RQEN classifies every
whole image; with `classification=frames` this one classifies the concatenation of its regions. The contrastive loss between the
sets of one person is left to the trainer's triplet.
"""

from baselines.interface.registry import register

from .qan import QualityAwareGrid


@register("rqen")
class RegionQuality(QualityAwareGrid):
    """Three horizontal regions of each frame, each weighted over time by a quality of its own.

    Family: weights of frames
    Source: RQEN: Song et al., AAAI 2018, released code
    """

    cuts = (0, 3 / 7, 5 / 7, 1)
