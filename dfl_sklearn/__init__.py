"""Decision-focused learning for scikit-learn.

A prediction feeds a decision; this package trains the prediction for what the decision
costs.
"""

import lazy_loader

# What is imported, and from where, stands in __init__.pyi (SPEC 1).
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.2.0"
