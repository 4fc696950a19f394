"""Finetune a base on a training set."""
