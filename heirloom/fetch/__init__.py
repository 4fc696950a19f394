"""Fetch models, prompts and data once, verified, into a cache that studies share."""
