"""What runs on the far side: started by the sandbox with `python -I -S`, it needs the standard library alone."""
