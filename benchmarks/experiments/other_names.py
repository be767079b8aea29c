"""The names that other trainers give to settings, for the hint after an unknown one."""

from collections.abc import Sequence

from baselines.interface.registry import nearest

OTHER_NAMES = {
    "batch_size": "identities x clips",
    "p": "identities",
    "k": "clips",
    "num_instances": "clips",
    "learning_rate": "lr",
    "gamma": "lr_gamma",
    "optim": "optimizer",
    "max_epochs": "epochs",
    "max_epoch": "epochs",
    "num_epochs": "epochs",
    "seq_len": "clip_frames",
    "num_frames": "clip_frames",
    "stride": "spacing",
    "random_erasing": "erase",
    "label_smooth": "label_smoothing",
    "arch": "backbone",
    "model": "backbone, or --method",
    "pretrained": "weights",
    "distance": "metric",
    "amp": "precision",
    "fp16": "precision",
}


def setting_meant(key: str, known: Sequence[str]) -> str:
    """The end of an error message for an unknown setting."""
    named = named_here(key, known)
    return f"here it is {named}" if named else nearest(_plain(key), list(known))


def named_here(key: str, known: Sequence[str]) -> str:
    """The settings that a name from elsewhere, or another spelling, stands for; empty if there are none."""
    plain = _plain(key)
    return OTHER_NAMES.get(plain, plain if plain in known else "")


def _plain(key: str) -> str:
    return key.lower().replace("-", "_")
