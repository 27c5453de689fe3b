-- Before this block there is nothing to compact any more.
UPDATE table_revisions SET compacted_to = %(block)s WHERE id = ANY (%(revision_ids)s)
