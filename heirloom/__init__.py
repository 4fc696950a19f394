"""heirloom: how language models inherit properties through synthetic data.

The library is pure Python over files and tensors: it never reads the study's configuration nor the
`snakemake` object, so every function can be used, and tested, without Snakemake.
"""
