"""Encrypts what a project keeps secret: each text under the project's data key, each data key under the key ring."""
