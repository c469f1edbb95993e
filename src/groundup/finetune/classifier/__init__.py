"""A classifier of texts: a small head on a model."""
