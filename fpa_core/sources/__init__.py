"""What core does with sources of history, live data and accounts: batches, the ledger, gaps, and what closes them."""
