"""What an Ed25519 request signature covers. Keys stay in ``edge`` and in the hub's registry."""

from __future__ import annotations

import hashlib

NODE_HEADER = "X-Wayside-Node"
NONCE_HEADER = "X-Wayside-Nonce"
SIGNATURE_HEADER = "X-Wayside-Signature"  # base64


def signing_input(*, node: str, nonce: str, method: str, path: str, body: bytes) -> bytes:
    """Bytes that the node signs (RFC 8032): lines, then the SHA-256 of the body as sent (compressed).

    The nonce came from the hub, so a node with the clock at 1970 can still talk, and no request can be replayed.
    """
    digest = hashlib.sha256(body).hexdigest()
    return "\n".join(("wayside-v1", node, nonce, method, path, digest)).encode()
