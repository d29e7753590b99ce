"""Decision-focused learning for scikit-learn.

Predictions are often made in order to decide. This package trains predictors on the cost of
the decisions made from their predictions.
"""

import lazy_loader

# __init__.pyi lists what is imported, and from where (SPEC 1).
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.2.0"
