"""Robustness: which weighted rows do we train on next, so that we are ready for what may come?"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
