"""The rules, searched exhaustively in small worlds."""
