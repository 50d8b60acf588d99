"""The messages between builder and gateway. The only part of `builder` that the gateway may import."""
