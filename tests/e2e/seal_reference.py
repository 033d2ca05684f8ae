"""Opens envelopes as docs/SEAL.md has it, apart from the C code.

Written from the page alone, on python3-cryptography: a second opinion on the
format. open_envelope(private key, envelope) gives (flags, text).
"""

import hashlib
import hmac
import struct

from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey, X25519PublicKey)
from cryptography.hazmat.primitives.ciphers.aead import (
    AESGCM, ChaCha20Poly1305)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

DIGITS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
CHUNK = 65536


def bech32_bytes(text):
    """The payload; the checksum is not looked at."""
    bits = held = 0
    out = bytearray()
    for c in text.lower().rpartition("1")[2][:-6]:
        held = (held << 5 | DIGITS.index(c)) & 0xFFF
        bits += 5
        if bits >= 8:
            bits -= 8
            out.append(held >> bits & 0xFF)
    return bytes(out)


def extract(salt, ikm):
    return hmac.new(salt, ikm, hashlib.sha256).digest()


def expand(prk, info, length):
    out = block = b""
    i = 1
    while len(out) < length:
        block = extract(prk, block + info + bytes([i]))
        out += block
        i += 1
    return out[:length]


def public_of(private):
    return private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def hpke_open(private, aead_id, aead, enc, info, ad, sealed):
    """RFC 9180, base mode, sequence number 0."""
    kem = b"KEM\x00\x20"
    suite = b"HPKE\x00\x20\x00\x01" + struct.pack(">H", aead_id)

    def labeled_extract(suite_id, salt, label, ikm):
        return extract(salt, b"HPKE-v1" + suite_id + label + ikm)

    def labeled_expand(suite_id, prk, label, context, length):
        return expand(prk, struct.pack(">H", length) + b"HPKE-v1" + suite_id +
                      label + context, length)

    dh = private.exchange(X25519PublicKey.from_public_bytes(enc))
    shared = labeled_expand(kem, labeled_extract(kem, b"", b"eae_prk", dh),
                            b"shared_secret", enc + public_of(private), 32)
    context = (b"\x00" + labeled_extract(suite, b"", b"psk_id_hash", b"") +
               labeled_extract(suite, b"", b"info_hash", info))
    secret = labeled_extract(suite, shared, b"secret", b"")
    key = labeled_expand(suite, secret, b"key", context, 32)
    nonce = labeled_expand(suite, secret, b"base_nonce", context, 12)
    return aead(key).decrypt(nonce, sealed, ad)


def open_envelope(private_bytes, envelope):
    private = X25519PrivateKey.from_private_bytes(private_bytes)
    magic, version, flags, size, link = struct.unpack("<4sBBHI",
                                                      envelope[:12])
    assert magic == b"GWSE" and version == 1
    header, body = envelope[12:12 + size], envelope[12 + size:]
    assert header[:5] == b"GWSK\x01" and len(header) == 8 + 88 * header[6]
    aead = {2: AESGCM, 3: ChaCha20Poly1305}[header[5]]
    own_id = hashlib.sha256(public_of(private)).digest()[:8]
    parts = [header[at:at + 88] for at in range(8, size, 88)]
    part = next(p for p in parts if p[:8] == own_id)
    root = hpke_open(private, header[5], aead, part[8:40],
                     b"godwit seal 1 segment", header[:8], part[40:])
    at = extract(hashlib.sha256(header).digest(), root)
    for _ in range(link):
        at = extract(at, b"next")
    okm = expand(extract(body[:16], extract(at, b"object")),
                 b"godwit seal 1 body" + bytes([flags]), 39)
    chunks = [body[i:i + CHUNK + 16]
              for i in range(16, len(body), CHUNK + 16)]
    text = b"".join(
        aead(okm[:32]).decrypt(
            okm[32:] + struct.pack(">IB", i, i == len(chunks) - 1), c, None)
        for i, c in enumerate(chunks))
    return flags, text
