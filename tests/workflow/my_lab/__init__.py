"""A plugin with one component of every kind; tests copy it to a folder outside the repository."""
