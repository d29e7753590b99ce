"""Weights of experts, learnt from what each of them has cost so far."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
