"""HTTP/1.1: requests and their answers as values, and one connection pool for threads and one for asyncio."""
