#!/usr/bin/env python3
"""Signatures (AWS Signature Version 4, S3) by Python's hmac: the values of tests/scheduler/test_s3.c.

The first four requests are the examples that AWS publishes for S3; their signatures are in its
documentation, too. The last one has what these lack: a port, odd characters, two parameters.
"""
import hashlib
import hmac
import urllib.parse


def sign(method, path, query, headers, payload, access, secret, region, time):
    def quote(text, safe):
        return urllib.parse.quote(text, safe=safe)

    pairs = "&".join(f"{quote(k, '-_.~')}={quote(v, '-_.~')}" for k, v in sorted(query))
    lines = sorted((k, " ".join(v.split())) for k, v in headers)
    names = ";".join(k for k, _ in lines)
    canonical = "\n".join([method, quote(path, "/-_.~"), pairs,
                           "".join(f"{k}:{v}\n" for k, v in lines), names, payload])
    scope = f"{time[:8]}/{region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", time, scope,
                      hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in (time[:8], region, "s3", "aws4_request", text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()


def main():
    empty = hashlib.sha256(b"").hexdigest()
    body = hashlib.sha256(b"Welcome to Amazon S3.").hexdigest()
    host = ("host", "examplebucket.s3.amazonaws.com")
    date = ("x-amz-date", "20130524T000000Z")
    keys = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1", date[1])
    none = ("x-amz-content-sha256", empty)
    some = ("x-amz-content-sha256", body)
    odd = "20261123T170501Z"
    print(sign("GET", "/test.txt", [], [host, ("range", "bytes=0-9"), none, date], empty, *keys))
    print(sign("PUT", "/test$file.text", [],
               [host, ("date", "Fri, 24 May 2013 00:00:00 GMT"), some, date,
                ("x-amz-storage-class", "REDUCED_REDUNDANCY")], body, *keys))
    print(sign("GET", "/", [("lifecycle", "")], [host, none, date], empty, *keys))
    print(sign("GET", "/", [("max-keys", "2"), ("prefix", "J")], [host, none, date], empty, *keys))
    print(sign("PUT", "/bu/a b/\u00e9+~%.txt", [("uploadId", "x/y=z+"), ("partNumber", "10")],
               [("host", "127.0.0.1:9000"), some, ("x-amz-date", odd), ("if-none-match", "*"),
                ("x-amz-meta", "  two   blanks ")], body, "me", "s3cr3t/+", "eu-west-3", odd))


main()
