"""Which test files a step selects, in which shard, for how long: asked of run_test.py itself."""
