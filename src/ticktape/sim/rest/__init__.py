"""The REST twin of the simulated Alpaca: the same tapes over plain HTTP, so far as they are played.

It shows nothing that the streams have not sent yet, unless asked to, so that a client can heal its
gaps from it as from the real venue.

    config                 its rules, and what shall go wrong
    past                   what happened until now on each path
    amended, index         those rows in REST's order, corrections and cancels applied
    cursors, pages         pages and their tokens
    latest, articles       what is not paged like that
    rowtexts, codes        rows as JSON, the venue's code tables
    parameters, instants   queries
    answers, limits        errors, rate limits
    endpoints              what each address does
    venue                  a request in, an answer out: who asks, limits, faults (pure)
    twin                   the HTTP server around it
"""

from ticktape.sim.rest.config import RestConfig, RestFault, parse_rest_faults
from ticktape.sim.rest.twin import RestTwin, check_web
from ticktape.sim.rest.venue import RestStatistics

__all__ = [
    "RestConfig",
    "RestFault",
    "RestStatistics",
    "RestTwin",
    "check_web",
    "parse_rest_faults",
]
