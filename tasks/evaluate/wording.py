"""Counts in words, for titles and notes of pictures."""


def rows_in_words(rows: int) -> str:
    """`1 test row`, `10,000 test rows`."""
    return "1 test row" if rows == 1 else f"{rows:,} test rows"
