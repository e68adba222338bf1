"""Redis: one module per key family. Nothing here may not be lost."""
