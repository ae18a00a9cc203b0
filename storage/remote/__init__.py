"""Files of other people, by HTTP and from S3, fetched behind a guard.

Every byte that comes from outside passes through `fetching.Fetcher`: it dials checked addresses
only (`addresses`, `network`), follows redirects by hand, and stops at limits of size and time.
"""
