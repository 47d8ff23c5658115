"""The venue's code tables, as its `meta` endpoints give them; the words are ours.

Source: reference/alpaca.md, appendix B, and §4.3 for which conditions leave the price alone.
"""

from collections.abc import Mapping


def _table(text: str) -> dict[str, str]:
    """Return code -> meaning of `A NYSE American|B Nasdaq BX`; the code is one character."""
    return {entry[0]: entry[2:] for entry in text.split("|")}


EXCHANGES = _table(
    "A NYSE American|B Nasdaq BX|C NYSE National|D FINRA ADF/TRF|E Market independent|"
    "H MIAX Pearl|I ISE|J Cboe EDGA|K Cboe EDGX|L LTSE|M NYSE Chicago|N NYSE|P NYSE Arca|"
    "Q Nasdaq|S Nasdaq small cap|T Nasdaq Int|U MEMX|V IEX|W Cboe|X Nasdaq PSX|Y Cboe BYX|"
    "Z Cboe BZX"
)

_CTS = _table(
    "  Regular sale|B Average price|C Cash|E Automatic execution|F Intermarket sweep|"
    "H Price variation|I Odd lot|K Rule 127 or 155|L Sold last|M Official close|N Next day|"
    "O Opening trade|P Prior reference price|Q Official open|R Seller|T Extended hours|"
    "U Extended hours, sold out of sequence|V Contingent|X Cross|Z Sold out of sequence|"
    "4 Derivatively priced|5 Reopening|6 Closing|7 Qualified contingent|8 Reserved|"
    "9 Corrected consolidated close"
)
_UTP = _table(
    "@ Regular sale|A Acquisition|B Bunched|C Cash|D Distribution|E Placeholder|"
    "F Intermarket sweep|G Bunched sold|H Price variation|I Odd lot|K Rule 155|L Sold last|"
    "M Official close|N Next day|O Opening prints|P Prior reference price|Q Official open|"
    "R Seller|S Split trade|T Form T|U Extended hours, sold out of sequence|V Contingent|"
    "W Average price|X Cross|Y Yellow flag|Z Sold out of sequence|1 Stopped stock|"
    "4 Derivatively priced|5 Reopening|6 Closing|7 Qualified contingent|"
    "8 Placeholder for 611 exempt|9 Corrected consolidated close"
)
_CQS = _table(
    "A Slow offer|B Slow bid|C Closing|E Slow bid, liquidity replenishment|"
    "F Slow offer, liquidity replenishment|H Slow bid and offer|L Market makers closed|N Non-firm|"
    "O Opening|R Regular|U Slow bid and offer, liquidity replenishment|W Slow list|"
    "4 On-demand auction"
)
_UQDF = _table(
    "A Manual ask|B Manual bid|F Fast trading|H Manual bid and ask|I Order imbalance|L Closed|"
    "N Non-firm|O Opening|R Regular, two-sided|U Manual bid and ask, non-firm|X Order influx|"
    "Y One-sided|Z No open, no resume|4 On-demand auction"
)

CONDITIONS: Mapping[tuple[str, str], Mapping[str, str]] = {
    (kind, tape): codes
    for kind, listed, unlisted in (("trade", _CTS, _UTP), ("quote", _CQS, _UQDF))
    for tape, codes in (("A", listed), ("B", listed), ("C", unlisted), ("O", unlisted))
}
"""(`trade` or `quote`, tape) -> code -> its meaning."""

_WITHOUT_PRICE = frozenset("CHIMNQRUVW7")
_WITHOUT_PRICE_ON_LISTED = _WITHOUT_PRICE | {"B"}  # on tape C it is bunched, which counts


def updates_price(conditions: list[str], tape: str) -> bool:
    """Return whether a trade of these conditions moves the price; `latest` shows no other."""
    silent = _WITHOUT_PRICE_ON_LISTED if tape in ("A", "B") else _WITHOUT_PRICE
    return silent.isdisjoint(conditions)
