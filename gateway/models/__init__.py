"""The values that the gateway works with: frozen, no I/O."""
