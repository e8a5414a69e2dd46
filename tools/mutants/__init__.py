"""Which small changes of the code no test notices. Called by `make mutants MODULE=name`; see docs/architecture.md, Tests."""
