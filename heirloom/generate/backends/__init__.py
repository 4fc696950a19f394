"""Back ends that generate completions."""
