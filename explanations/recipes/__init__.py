"""Training recipes for explanations: fair baselines and fixtures, seeded and small."""
