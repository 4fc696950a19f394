"""Engines that several benchmarks share: likelihoods and readability."""
