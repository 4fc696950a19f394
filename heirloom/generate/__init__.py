"""Generate completions with a model: prompts in, k samples of each out."""
