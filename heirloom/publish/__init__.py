"""Publish a study: cards, the Hugging Face hub and an RO-Crate."""
