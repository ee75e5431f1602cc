"""Which layer of a network fits which brain area: every candidate layer on every benchmark, honestly chosen."""
