"""AWS Signature Version 4 by hand, so that tests can also make wrong ones.

Source: AWS "Authenticating Requests (AWS Signature Version 4)", S3 API
Reference: header and query signing, and the signed and unsigned forms of
aws-chunked bodies with trailers. test_06_auth compares it with botocore.
"""
import hashlib
import hmac
import time
from urllib.parse import quote

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def uri_encode(text, safe=""):
    """Percent-encode as AWS wants it; @text is str or bytes."""
    return quote(text, safe=safe + "-_.~")


def mac(key, text):
    return hmac.new(key, text.encode("utf-8"), hashlib.sha256).digest()


def amz_date(now):
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))


class Signer:
    """Signs requests for one pair of keys."""

    def __init__(self, access, secret, region="us-east-1", service="s3"):
        self.access = access
        self.secret = secret
        self.region = region
        self.service = service

    def scope(self, date):
        return f"{date[:8]}/{self.region}/{self.service}/aws4_request"

    def key(self, date):
        k = mac(("AWS4" + self.secret).encode(), date[:8])
        k = mac(k, self.region)
        k = mac(k, self.service)
        return mac(k, "aws4_request")

    @staticmethod
    def canonical_query(query):
        pairs = sorted((uri_encode(k), uri_encode(v)) for k, v in query)
        return "&".join(f"{k}={v}" for k, v in pairs)

    def signature(self, method, path, query, headers, signed, payload, date):
        """@path raw as sent, @query decoded pairs, @headers a list of pairs."""
        values = {}
        for name, value in headers:
            values.setdefault(name.lower(), []).append(
                " ".join(value.split(" ")).strip() if "  " not in value
                else " ".join(value.split()))
        lines = "".join(f"{n}:{','.join(values.get(n, ['']))}\n"
                        for n in signed)
        canonical = "\n".join([method, path, self.canonical_query(query),
                               lines, ";".join(signed), payload])
        text = "\n".join([
            "AWS4-HMAC-SHA256", date, self.scope(date),
            hashlib.sha256(canonical.encode("utf-8", "surrogateescape"))
            .hexdigest()])
        return mac(self.key(date), text).hex()

    def headers(self, method, path, query, headers, payload, now=None):
        """The headers to send: @headers (pairs, with Host) and three more."""
        date = amz_date(time.time() if now is None else now)
        out = list(headers) + [("x-amz-date", date),
                               ("x-amz-content-sha256", payload)]
        signed = sorted({name.lower() for name, _ in out
                         if name.lower() not in ("content-length",
                                                 "transfer-encoding",
                                                 "expect", "connection",
                                                 "user-agent")})
        signature = self.signature(method, path, query, out, signed, payload,
                                   date)
        out.append(("Authorization",
                    f"AWS4-HMAC-SHA256 Credential={self.access}/"
                    f"{self.scope(date)}, SignedHeaders={';'.join(signed)}, "
                    f"Signature={signature}"))
        return out, signature, date

    def presign(self, method, path, query, host, expires=300, now=None):
        """The query string of a presigned URL."""
        date = amz_date(time.time() if now is None else now)
        pairs = list(query) + [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", f"{self.access}/{self.scope(date)}"),
            ("X-Amz-Date", date),
            ("X-Amz-Expires", str(expires)),
            ("X-Amz-SignedHeaders", "host")]
        signature = self.signature(method, path, pairs, [("Host", host)],
                                   ["host"], UNSIGNED, date)
        return (self.canonical_query(pairs) +
                f"&X-Amz-Signature={signature}")

    def chunk_signature(self, previous, data, date):
        text = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", date, self.scope(date),
                          previous, EMPTY_SHA256,
                          hashlib.sha256(data).hexdigest()])
        return mac(self.key(date), text).hex()

    def trailer_signature(self, previous, trailer, date):
        """@trailer: the lines "name:value\\n" in order, as bytes."""
        text = "\n".join(["AWS4-HMAC-SHA256-TRAILER", date, self.scope(date),
                          previous, hashlib.sha256(trailer).hexdigest()])
        return mac(self.key(date), text).hex()

    def chunked(self, data, seed, date, chunk=65536, trailer=(), signed=True,
                sign_trailer=True):
        """An aws-chunked body. @trailer: pairs of checksum header and value."""
        out = bytearray()
        previous = seed
        pieces = [data[i:i + chunk] for i in range(0, len(data), chunk)]
        for piece in pieces + [b""]:
            if signed:
                previous = self.chunk_signature(previous, piece, date)
                out += b"%x;chunk-signature=%s\r\n" % (len(piece),
                                                       previous.encode())
            else:
                out += b"%x\r\n" % len(piece)
            if piece:
                out += piece + b"\r\n"
        for name, value in trailer:
            out += f"{name}:{value}\r\n".encode()
        if trailer and signed and sign_trailer:
            lines = "".join(f"{n}:{v}\n" for n, v in trailer).encode()
            out += (b"x-amz-trailer-signature:" +
                    self.trailer_signature(previous, lines, date).encode() +
                    b"\r\n")
        return bytes(out + b"\r\n")
