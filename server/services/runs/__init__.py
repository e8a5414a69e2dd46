"""The fleet's ledger: runs and outcomes as agents told of them."""
