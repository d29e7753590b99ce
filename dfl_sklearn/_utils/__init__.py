"""Helpers shared by every part of the package; nothing here is public."""
