"""Select the candidates that become training sets."""
