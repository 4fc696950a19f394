"""Publish a study: cards, the hub and an RO-Crate."""
