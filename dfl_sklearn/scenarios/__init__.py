"""Scenario models: what else could happen at this x, and how likely it is."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
