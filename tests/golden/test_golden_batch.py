"""Golden values of one batch: what two public trainers and this harness have in common for mean pooling.

The numbers are printed by reference_batch.py: NumPy in float64, from the definitions, with gradients by central differences. It
shares no code with the harness or with the trainers. Beside the trainers themselves, on drawn people and from the same weights,
embeddings, logits and losses agreed to 2.5e-7, gradients to 1.5e-5, Adam in float64 to 1.5e-8, CMC and mAP to 3e-8.
"""

import numpy as np
import pytest
import torch
from torch import nn

from baselines.interface.backbone import Backbone
from baselines.mean import Mean
from benchmarks.engine.model import ReidModel
from benchmarks.engine.optimizer import make_optimizer
from benchmarks.evaluation.ranking import evaluate, rank
from benchmarks.experiments.settings import resolve

from . import reference_batch as given

EMBEDDINGS = [
    [0.11071576145571166, -0.07130218069748065, -0.2511084161705777, -0.22671366282428929, -0.03823751139811833],
    [-0.07729443163903063, -0.01527042774200981, -0.4586456916291349, -0.38497963464814117, -0.1048281013709168],
    [0.08285778640586916, -0.07300282717738082, -0.7084563748400494, -0.56081441482152, 0.22502045435012918],
    [0.03346001687025654, -0.07785163611558937, -0.8022162050389319, -0.6265301812452911, 0.1490778321458735],
]
LOGITS = {
    "gao-nevatia": [
        [0.12297125774843602, -0.2147483584943036, 0.16769927863863443],
        [0.09722561056365517, -0.059238797308853786, 0.023372977888511226],
        [0.06473670129314829, -0.10315923796641666, -0.01550137967879367],
        [0.07965424235281252, -0.03616988043843222, -0.082160945677684],
    ],
    "ste-nvan-baseline": [
        [0.3659315625460818, -0.7929714714378636, 0.8311395344667942],
        [-0.397632515063696, 0.9371594176291, -0.2971592363182778],
        [-0.01799768460788721, -0.29256660098893983, -0.05997152907157407],
        [0.04969863712550169, 0.148378654797703, -0.47400876907694217],
    ],
}
TRIPLET = {"gao-nevatia": 0.04013117358370524, "ste-nvan-baseline": 0.5621340847086245}
CLASS = {"gao-nevatia": 1.0795670379043911, "ste-nvan-baseline": 1.3500679707249963}
GRADIENTS = {  # of one weight of each layer, see reference_batch.SHOWN
    "gao-nevatia": {
        "first": 0.00013634011697405413,
        "last": -0.020120312227422943,
        "classifier": -0.06814514866837484,
        "bias": 0.26567412175770855,
    },
    "ste-nvan-baseline": {
        "first": 0.015220694582485093,
        "last": 0.011920504749962644,
        "classifier": -0.4892501941577975,
    },
}
ADAM = {
    "gao-nevatia": [0.49919946537547266, -0.24912497633103742, 1.9991757206351177],
    "ste-nvan-baseline": [0.4997332037322984, -0.24970834451394808, 1.9997252446478633],
}
METRICS = {
    "standard": {"mAP": 0.4268518518518518, "R1": 0.3333333333333333, "R5": 1.0},
    "official": {"mAP": 0.3318460860127527, "R1": 0.3333333333333333, "R5": 0.6666666666666666},
}
TRAINERS = ("gao-nevatia", "ste-nvan-baseline")


class TwoConvolutions(Backbone):
    """The network of the reference."""

    @classmethod
    def network(cls, name: str) -> nn.Module:
        raise NotImplementedError


def prepared(trainer: str) -> tuple[ReidModel, dict[str, torch.Tensor]]:
    """The model of a trainer's recipe with the reference's weights, and these weights."""
    first, last = nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.Conv2d(4, 5, 3, 1, 1, bias=False)
    backbone = TwoConvolutions({"first": nn.Sequential(first, nn.ReLU()), "last": last}, (4, 5))
    sizes = (
        f"height={given.H}",
        f"width={given.W}",
        f"clip_frames={given.T}",
        "classification=pooled",
        "backbone=small",
    )
    model = ReidModel(Mean(backbone), given.K, resolve(trainer, "mean", sizes)).train()
    weights = {"first": first.weight, "last": last.weight, "classifier": model.classifier.weight}
    if model.classifier.bias is not None:
        weights["bias"] = model.classifier.bias
    for name, weight in weights.items():
        weight.data = torch.from_numpy(given.weights()[name]).float()
    return model, weights


@pytest.mark.parametrize("trainer", TRAINERS)
def test_embeddings_logits_losses_and_gradients(trainer):
    model, weights = prepared(trainer)
    frames, labels = torch.from_numpy(given.pixels()).to(torch.uint8), torch.tensor(given.LABELS)
    coherence = model(frames).coherence
    torch.testing.assert_close(coherence, torch.tensor(EMBEDDINGS), rtol=1e-5, atol=1e-6)
    logits = model.classifier(model.normalised(coherence))
    torch.testing.assert_close(logits, torch.tensor(LOGITS[trainer]), rtol=1e-5, atol=1e-6)
    terms = model(frames, labels, mode="loss")
    assert terms["loss_triplet"].item() == pytest.approx(TRIPLET[trainer], rel=1e-5)
    assert terms["loss_class"].item() == pytest.approx(CLASS[trainer], rel=1e-5)
    sum(terms.values()).backward()
    for name, expected in GRADIENTS[trainer].items():
        assert weights[name].grad[given.SHOWN[name]].item() == pytest.approx(expected, rel=1e-4, abs=1e-6), name


@pytest.mark.parametrize("trainer", TRAINERS)
def test_adam_in_float64(trainer):
    """Three steps along given gradients, with the learning rate and the decay of the recipe."""
    model = prepared(trainer)[0].double()
    weight = model.classifier.weight
    weight.data[:, 0] = torch.tensor([0.5, -0.25, 2.0])
    optimizer = make_optimizer(model)
    for step in (1, 2, 3):
        weight.grad = torch.zeros_like(weight)
        weight.grad[:, 0] = torch.tensor([0.1, -0.02, 3.0], dtype=torch.float64) * step**2 - 0.05
        optimizer.step()
    np.testing.assert_allclose(weight[:, 0].tolist(), ADAM[trainer], rtol=1e-12)


@pytest.mark.parametrize(("protocol", "precision"), [("standard", "rectangle"), ("official", "trapezoid")])
def test_cmc_and_map(protocol, precision):
    gallery = given.GALLERY + (given.QUERIES if protocol == "official" else [])
    labels = [np.array(column) for side in (given.QUERIES, gallery) for column in zip(*side, strict=True)]
    found = evaluate(given.distances(len(given.QUERIES), len(gallery)), *labels, average_precision=precision)
    expected = METRICS[protocol]
    assert found.map == pytest.approx(expected["mAP"], rel=1e-12)
    assert [rank(found.cmc, k) for k in (1, 5)] == pytest.approx([expected["R1"], expected["R5"]], rel=1e-12)
