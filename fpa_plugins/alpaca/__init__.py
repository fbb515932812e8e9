"""The source ``alpaca``: history, live data and the account of Alpaca, through alpaca-py."""
