"""A folder of images as tracklets of unknown people, without an import: for feature extraction."""

from pathlib import Path

import pandas as pd

from .dataset import Dataset
from .frame_stores import FolderStore
from .import_images import unlabelled_tracklets
from .loading import LoadedDataset
from .table import digest


class ImageFolder(Dataset):
    """The images of each folder are a tracklet of an unknown person."""

    protocols = ()
    features_only = "its images have no identities (pid)"

    def read(self, root: Path, split: int) -> pd.DataFrame:  # noqa: ARG002 - one split
        return unlabelled_tracklets(root)


def load_folder(images: Path) -> LoadedDataset:
    """The images below a folder as a data set with the folder's name.

    Raises:
        UserError: there are none.
    """
    dataset, store = ImageFolder(), FolderStore(images)
    table = dataset.read(images, 0)
    sizes = store.sizes(frame for frames in table.frames for frame in frames)
    return LoadedDataset(images.resolve().name, 0, table, store, digest(table, sizes), dataset, images)
