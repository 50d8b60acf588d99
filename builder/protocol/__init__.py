"""The words that builder and gateway exchange. All of `builder` that the gateway may import."""
