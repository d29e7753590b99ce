"""Solvers on plain arrays, independent of decision problems, models and training."""
