"""The readers of files that a fault or a stranger may have changed, each with a valid file and a second opinion."""

from .data_readers import DATA_READERS
from .model_readers import MODEL_READERS
from .run_readers import RUN_READERS

READERS = (*DATA_READERS, *MODEL_READERS, *RUN_READERS)
