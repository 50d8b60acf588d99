"""What a checkout needs beside the product: its set-up, the demo, a git server."""
