"""Long runs under load with things going wrong: ``python -m chaos.soak``."""
