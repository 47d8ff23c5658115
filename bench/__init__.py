"""Our speed against floors and peers, each question in a file of its own, paired in one run."""
