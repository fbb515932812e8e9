"""The source ``ccxt``: history of trades and bars of crypto exchanges, through ccxt."""
