"""Displays: pictures of decisions and what they cost."""
