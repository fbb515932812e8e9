"""The source ``yfinance``: history of bars, splits and dividends from Yahoo Finance, through yfinance."""
