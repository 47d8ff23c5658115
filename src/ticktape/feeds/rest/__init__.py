"""Asking a venue's history over HTTP: the rim of healing.

    client     one request, one answer: no retries, no redirects, never longer than a bound
    journal    the journal `<feed>.rest`: what was asked and answered, raw first

Nothing here decides what is asked; see `ledger.healing`.
"""

from ticktape.feeds.rest.client import Answer, RestClient
from ticktape.feeds.rest.journal import Lost, RestJournal

__all__ = ["Answer", "Lost", "RestClient", "RestJournal"]
