"""The report of a study: figures, findings and one HTML page."""
