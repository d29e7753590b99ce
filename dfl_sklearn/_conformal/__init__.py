"""Promised costs that hold with a given probability: quantiles, units of errors, sets."""
