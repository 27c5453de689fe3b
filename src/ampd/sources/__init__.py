"""Where blocks come from. Each source turns block numbers into Arrow tables of one schema
(:mod:`ampd.chain.tables`).
"""
