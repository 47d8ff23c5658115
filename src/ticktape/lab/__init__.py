"""The layout lab: which parallel layout misses least on this machine, at which memory threshold.

    layouts     the layouts as small programs over one set of stages; `ways` lie between them
    stages      acquire -> pack -> save; `packing` is a capture's bytes, `saving` its files
    source      what is captured: a terminal, `simulated` or real, or a `stream`
    cell        one layout at one threshold: run, drained, killed; its `processes` and `tally`
    measure     what a cell's files say: `reading` them, `gaps`, order, loss, missed states
    machine     facts and stalls of this machine
    plan        which cells, in which order; `running` them one after the other, resumable
    results     the words between running and reporting
    lineup      results in order; `merit` what is compared, `bootstrap` how sure a difference is,
                `standing` journal against the notebook's five
    verdict     the fastest layout that is safe, by how much, or no difference
    report      the page and its files: `pictures`, `tables`, `page`; `wording` puts figures
                into text

Nothing here may make one layout better than it is: all of them run the same stages.
"""
