"""Scripts that read records: hierarchy, differences, tables, figures, report; and the layer search."""
