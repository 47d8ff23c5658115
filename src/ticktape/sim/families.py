"""What each path of the venue carries: its family, and with it the channels and their rules.

Source: reference/alpaca.md §1.1 and §1.3, from the venue's documentation.
"""

from typing import NamedTuple


class Family(NamedTuple):
    """Paths that have the same channels and messages.

    `channels` in the order in which the documentation shows them. `limited` are the channels whose
    symbols count against a plan, `starless` those that take no `*`. `packed_only` says that
    messages come in MessagePack alone. `kinds` are the tables that a tape of the family may have.
    """

    name: str
    channels: tuple[str, ...]
    kinds: tuple[str, ...]
    limited: frozenset[str] = frozenset()
    implied: tuple[str, ...] = ()
    starless: frozenset[str] = frozenset()
    packed_only: bool = False


_BARS = ("bars", "updatedBars", "dailyBars")

STOCKS = Family(
    name="stocks",
    channels=("trades", "quotes", *_BARS, "statuses", "lulds", "imbalances"),
    kinds=(
        *("trades", "quotes", "bars", "corrections", "cancels"),
        *("statuses", "lulds", "imbalances"),
    ),
    limited=frozenset({"trades", "quotes"}),  # bars are free on every plan
    implied=("corrections", "cancelErrors"),
)
CRYPTO = Family(
    name="crypto",
    channels=("trades", "quotes", "orderbooks", *_BARS),
    kinds=("trades", "quotes", "bars", "crypto_books"),
    limited=frozenset({"trades", "quotes", "orderbooks"}),
)
OPTIONS = Family(
    name="options",
    channels=("trades", "quotes"),
    kinds=("trades", "quotes"),
    limited=frozenset({"quotes"}),
    starless=frozenset({"quotes"}),
    packed_only=True,
)
NEWS = Family(name="news", channels=("news",), kinds=("news",))

FAMILIES = {family.name: family for family in (STOCKS, CRYPTO, OPTIONS, NEWS)}

V1_PATH = "/stream"
TEST_PATH = "/v2/test"

PATHS = {
    "/v2/iex": STOCKS,
    "/v2/sip": STOCKS,
    "/v2/delayed_sip": STOCKS,
    "/v2/otc": STOCKS,
    TEST_PATH: STOCKS,
    "/v1beta1/boats": STOCKS,
    "/v1beta1/overnight": STOCKS,
    V1_PATH: STOCKS,
    "/v1beta3/crypto/us": CRYPTO,
    "/v1beta3/crypto/us-1": CRYPTO,
    "/v1beta3/crypto/us-2": CRYPTO,
    "/v1beta3/crypto/eu-1": CRYPTO,
    "/v1beta3/crypto/bs-1": CRYPTO,
    "/v1beta1/opra": OPTIONS,
    "/v1beta1/indicative": OPTIONS,
    "/v1beta1/news": NEWS,
}
"""Path -> family; `/stream` is the v1 protocol."""

ALL_CHANNELS = frozenset({"pricing"}).union(*(family.channels for family in FAMILIES.values()))
"""Every channel that some stream has; `pricing` is that of crypto perpetuals, not played here."""
