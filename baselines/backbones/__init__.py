"""The image and video backbones: one file per family, and one registry that plug-ins extend.

`BACKBONES` names them without importing torch; `BACKBONES.get(name)` imports the file.
"""

from pathlib import Path

from baselines.interface.registry import Registry

BACKBONES = Registry("backbone", Path(__file__).parent, __name__, base="baselines.interface.backbone:Backbone")
