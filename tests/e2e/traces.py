"""Wrapped keys of objects: what the catalogue has, and in which files."""
import base64
import os
import sqlite3
import struct


def attrs_of(attrs):
    """{name: value} of what the catalogue keeps with an object."""
    texts, at = [], 1
    while at < len(attrs):
        size = struct.unpack_from("<I", attrs, at)[0]
        texts.append(attrs[at + 4:at + 4 + size])
        at += 4 + size
    return dict(zip(texts[::2], texts[1::2]))


def keys_in_catalogue(data):
    """(key of an object, its wrapped key in base64) of all that have one."""
    path = os.path.join(data, "meta", "catalogue.db")
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    out = []
    for table in ("version", "history"):
        for key, attrs in db.execute(f"SELECT key, attrs FROM {table}"):
            wrapped = attrs_of(attrs).get(b"godwit-sse-key")
            if wrapped:
                out.append((key.decode(), wrapped.split()[-1]))
    db.close()
    return out


def files_with(data, secrets):
    """Names of files that hold one of them, as text or as bytes."""
    wanted = [s for text in secrets for s in (text, base64.b64decode(text))]
    out = set()
    for folder, _, names in os.walk(data):
        for name in names:
            path = os.path.join(folder, name)
            try:
                with open(path, "rb") as file:
                    content = file.read()
            except FileNotFoundError:
                continue
            if any(w in content for w in wanted):
                out.add(os.path.relpath(path, data))
    return out
