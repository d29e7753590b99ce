"""Ambiguity sets: which weighted rows to train on, to be prepared for a shift."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
