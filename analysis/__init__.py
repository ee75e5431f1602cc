"""Scripts that read records: hierarchy, tables, figures, report; and the layer search."""
