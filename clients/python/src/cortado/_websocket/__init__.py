"""WebSockets (RFC 6455), the side of the client: frames as values, and one socket for threads and one for asyncio."""
