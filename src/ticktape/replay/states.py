"""How what ran live stands against what the journals give, from best to worst."""

SAME = "same"
BEHIND = "behind"
"""Rows are journaled that the table has not yet; the next recording stores them."""
UNPROVEN = "unproven"
"""The journals have lost what it was made of: it cannot be derived any more."""
DIFFERENT = "DIFFERENT"
"""It is not what the journals give: it lies, or was damaged."""
