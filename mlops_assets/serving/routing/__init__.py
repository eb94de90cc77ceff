"""Which versions answer, as the ledger has it, and the loaded versions themselves."""
