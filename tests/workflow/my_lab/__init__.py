"""A plugin with one part of every kind, a file each; the tests copy it out of the repository."""
