"""Brings the source of a deployment to the builder."""
