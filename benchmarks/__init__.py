"""What the library costs, measured beside its references: ``python -m benchmarks``."""
