"""Engines that several benchmarks share: likelihoods, verdicts and values of texts."""
