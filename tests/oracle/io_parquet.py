# SPDX-License-Identifier: Apache-2.0
"""Parquet files of every codec, encoding, page version and nesting as pyarrow writes them, and
their rows. Writes tests/oracle/fixtures/parquet. Run by hand:

    python tests/oracle/io_parquet.py                       # fixtures
    python tests/oracle/io_parquet.py BUILD/sea [N [SEED]]  # N random files through the program
"""
import base64
import datetime
import decimal
import hashlib
import json
import math
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

import pyarrow as pa
import pyarrow.parquet as pq

OUT = pathlib.Path(__file__).parent / "fixtures" / "parquet"
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
EPOCH = datetime.datetime(1970, 1, 1)


def shown(kind, value, options=()):
    """A value of to_pylist as a row of ours shows it; with digests, a picture as its bytes' digest."""
    if value is None:
        return None
    if kind == IMAGE:
        if "digests" in options:
            return hashlib.sha256(value["bytes"]).hexdigest()
        return {"bytes": len(value["bytes"]), "path": value["path"] or ""}
    if pa.types.is_struct(kind):
        return {f.name: shown(f.type, value[f.name], options) for f in kind}
    if pa.types.is_map(kind):
        return [{"key": k, "value": shown(kind.item_type, v, options)} for k, v in value]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [shown(kind.value_type, v, options) for v in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if pa.types.is_date(kind):
        return (value - EPOCH.date()).days
    if pa.types.is_timestamp(kind):
        scale = {"ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
        delta = value.to_pydatetime() - EPOCH if hasattr(value, "to_pydatetime") else value - EPOCH
        return (delta.days * 86400 + delta.seconds) * scale + delta.microseconds * scale // 10**6
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and not isinstance(value, bool) and value > 2**63 - 1:
        return str(value)
    return value


def rows_of(table, *options):
    return [{f.name: shown(f.type, row[f.name], options) for f in table.schema} for row in table.to_pylist()]


def with_digests(value, folder):
    """A row of ours whose pictures are files, with their digests in the place of their names."""
    if isinstance(value, dict):
        return {k: with_digests(v, folder) for k, v in value.items()}
    if isinstance(value, list):
        return [with_digests(v, folder) for v in value]
    path = folder / value if isinstance(value, str) and value[:1].isdigit() and value.endswith(".bin") else None
    return hashlib.sha256(path.read_bytes()).hexdigest() if path else value


# ---- random tables ----

def random_text(rng):
    words = ["", "a", "Wort", "caf\u00e9", "\u7b54", "\U0001f600", "two words", "\u0000x", "line\nline", "x" * 40]
    return rng.choice(words) * rng.choice([1, 1, 2]) + rng.choice(["", str(rng.randrange(50))])


def random_leaf(rng):
    kinds = [
        (pa.bool_(), lambda: rng.random() < 0.5),
        (pa.int8(), lambda: rng.randrange(-128, 128)), (pa.int16(), lambda: rng.randrange(-2**15, 2**15)),
        (pa.int32(), lambda: rng.randrange(-2**31, 2**31)),
        (pa.int32(), lambda: rng.randrange(5)), (pa.int64(), lambda: rng.randrange(-2**63, 2**63)),
        (pa.int64(), lambda: 10**15 + rng.randrange(100)),
        (pa.uint8(), lambda: rng.randrange(256)), (pa.uint32(), lambda: rng.randrange(2**32)),
        (pa.uint64(), lambda: rng.randrange(2**64)),
        (pa.float32(), lambda: float(rng.choice([0.0, -1.5, 3.25, math.inf, math.nan, 2.0**-130, 1e30]))),
        (pa.float64(), lambda: rng.gauss(0, 1) * 10.0**rng.randrange(-300, 300)),
        (pa.float16(), lambda: __import__("numpy").float16(rng.choice([0.0, 1.5, -2.25, 6e-8, 65504.0]))),
        (pa.string(), lambda: random_text(rng)), (pa.large_string(), lambda: random_text(rng)),
        (pa.binary(), lambda: bytes(rng.randrange(256) for _ in range(rng.randrange(8)))),
        (pa.binary(5), lambda: bytes(rng.randrange(256) for _ in range(5))),
        (pa.date32(), lambda: datetime.date(2000, 1, 1) + datetime.timedelta(rng.randrange(-9999, 9999))),
        (pa.timestamp("us"), lambda: datetime.datetime(2020, 1, 1) + datetime.timedelta(0, rng.randrange(10**8), 7)),
        (pa.timestamp("ms"), lambda: datetime.datetime(1960, 1, 1) + datetime.timedelta(0, rng.randrange(10**8))),
    ]
    for p, s in [(5, 2), (15, 0), (18, 9), (30, 7), (38, 38)]:
        kinds.append((pa.decimal128(p, s), lambda p=p, s=s: decimal.Decimal(
            rng.randrange(-10**p + 1, 10**p)).scaleb(-s, decimal.Context(prec=60))))
    kinds.append((pa.decimal256(70, 3), lambda: decimal.Decimal(rng.randrange(-10**69, 10**69)).scaleb(
        -3, decimal.Context(prec=90))))
    return rng.choice(kinds)


def random_type(rng, depth):
    """A type and a function that makes values of it."""
    pick = rng.random()
    nulls = rng.choice([0.0, 0.0, 0.1, 0.5, 1.0]) if rng.random() < 0.9 else 0.3

    def maybe(make):
        return lambda: None if rng.random() < nulls else make()

    if depth and pick < 0.2:
        kind, make = random_type(rng, depth - 1)
        most = rng.choice([1, 3, 6])
        return pa.list_(kind), maybe(lambda: [make() for _ in range(rng.randrange(most + 1))])
    if depth and pick < 0.35:
        parts = [(f"f{i}", random_type(rng, depth - 1)) for i in range(rng.randrange(1, 4))]
        kind = pa.struct([pa.field(n, k) for n, (k, _) in parts])
        return kind, maybe(lambda: {n: m() for n, (_, m) in parts})
    if depth and pick < 0.42:
        kind, make = random_type(rng, depth - 1)
        return pa.map_(pa.string(), kind), maybe(
            lambda: [(f"k{i}", make()) for i in range(rng.randrange(4))])
    if pick < 0.5:
        pictures = [bytes(rng.randrange(256) for _ in range(rng.choice([3, 60, 300]))) for _ in range(4)]
        return IMAGE, maybe(lambda: {"bytes": rng.choice(pictures), "path": rng.choice([None, "a.jpg"])})
    kind, make = random_leaf(rng)
    return kind, maybe(make)


def leaf_paths(schema_text):
    return [(c.path, c.physical_type) for c in schema_text]


def random_options(rng, table, path):
    options = {
        "compression": rng.choice(["none", "snappy", "gzip", "zstd"]),
        "data_page_version": rng.choice(["1.0", "2.0"]),
        "row_group_size": rng.choice([1, 3, 7, 100, 1000]),
        "data_page_size": rng.choice([1, 50, 400, 100000]),
        "write_batch_size": rng.choice([1, 4, 1024]),
        "version": rng.choice(["1.0", "2.4", "2.6"]),
        "use_compliant_nested_type": rng.random() < 0.5,
        "write_statistics": rng.random() < 0.5,
        "write_page_checksum": rng.random() < 0.5,
        "store_decimal_as_integer": rng.random() < 0.5,
        "dictionary_pagesize_limit": rng.choice([10, 200, 10**6]),
    }
    if rng.random() < 0.5:
        options["use_dictionary"] = True
        return options
    options["use_dictionary"] = False
    pq.write_table(table.slice(0, 1), path, use_dictionary=False, version=options["version"],
                   use_compliant_nested_type=options["use_compliant_nested_type"],
                   store_decimal_as_integer=options["store_decimal_as_integer"])
    encodings = {}
    schema = pq.ParquetFile(path).schema
    for i in range(len(schema)):
        column = schema.column(i)
        kinds = {"BOOLEAN": ["PLAIN", "RLE"], "INT32": ["PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"],
                 "INT64": ["PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"],
                 "FLOAT": ["PLAIN", "BYTE_STREAM_SPLIT"], "DOUBLE": ["PLAIN", "BYTE_STREAM_SPLIT"],
                 "BYTE_ARRAY": ["PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"],
                 "FIXED_LEN_BYTE_ARRAY": ["PLAIN", "DELTA_BYTE_ARRAY", "BYTE_STREAM_SPLIT"]}
        kind = rng.choice(kinds.get(column.physical_type, ["PLAIN"]))
        if kind == "RLE" and options["data_page_version"] == "1.0":
            kind = "PLAIN"
        encodings[column.path] = kind
    options["column_encoding"] = encodings
    return options


def random_table(rng, rows):
    fields, columns = [], []
    for i in range(rng.randrange(1, 6)):
        kind, make = random_type(rng, 3)
        values = [make() for _ in range(rows)]
        nullable = any(v is None for v in values) or rng.random() < 0.5
        fields.append(pa.field(f"c{i}", kind, nullable))
        columns.append(pa.array(values, kind))
    return pa.table(columns, schema=pa.schema(fields))


def compare(sea, folder, table, name, *options):
    out, pictures = folder / "rows.jsonl", folder / "pictures"
    shutil.rmtree(pictures, ignore_errors=True)
    done = subprocess.run([sea, "data", "parquet", str(folder / name), "--out", str(out)] +
                          (["--images", str(pictures)] if options else []), capture_output=True, text=True)
    if done.returncode:
        return done.stderr
    ours = [json.loads(line) for line in out.read_text().split("\n")[:-1]]
    if options:
        ours = with_digests(ours, pictures)
    theirs = rows_of(table, *options)
    if ours == theirs:
        return None
    for i, (a, b) in enumerate(zip(ours, theirs)):
        if a != b:
            return f"row {i}:\n  ours   {a}\n  theirs {b}"
    return f"{len(ours)} rows, expected {len(theirs)}"


def compare_random(sea, count, seed):
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for i in range(count):
            rng = random.Random(seed * 1000003 + i)
            table = random_table(rng, rng.choice([0, 1, 2, 17, 60, 300]))
            options = random_options(rng, table, folder / "t.parquet")
            pq.write_table(table, folder / "t.parquet", **options)
            wrong = compare(sea, folder, table, "t.parquet", *(["digests"] if i % 2 else []))
            if wrong:
                failed += 1
                print(f"file {i} of seed {seed}: {wrong}\n{table.schema}\n{options}")
                if failed == 5:
                    break
    print(f"{count} files, {failed} differ")
    return failed


# ---- files that lie about themselves, byte by byte ----

def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


class Long(int):
    """An i64 of Thrift; other ints are i32."""


def thrift(fields):
    """A struct of the compact protocol from {number: value}: ints, bytes, dicts, lists of one of them."""
    out, last = b"", 0
    for number, value in sorted(fields.items()):
        kind = (6 if isinstance(value, Long) else 5 if isinstance(value, int) else 8 if isinstance(value, bytes) else 9 if isinstance(value, list) else 12)
        out += bytes([number - last << 4 | kind])
        last = number
        if kind in (5, 6):
            out += varint(value << 1 if value >= 0 else (-value << 1) - 1)
        elif kind == 8:
            out += varint(len(value)) + value
        elif kind == 9:
            inner = 12 if value and isinstance(value[0], dict) else 8 if value and isinstance(value[0], bytes) else 5
            out += bytes([len(value) << 4 | inner])
            out += b"".join(thrift(v) if inner == 12 else varint(len(v)) + v if inner == 8 else varint(v << 1)
                            for v in value)
        else:
            out += thrift(value)
    return out + b"\0"


def raw_page(body, values=4, encoding=0, unpacked=None, packed=None, kind=0, **more):
    header = {1: kind, 2: len(body) if unpacked is None else unpacked, 3: len(body) if packed is None else packed}
    header[7 if kind == 2 else 5] = {1: values, 2: encoding} if kind == 2 else {1: values, 2: encoding, 3: 3, 4: 3}
    header.update(more.get("header", {}))
    return thrift(header) + body


def raw_file(pages, rows=4, file_rows=None, codec=0, leaf=None, meta=None, chunks=None, element=None, extra=None):
    """One column of four whole numbers, and what a case changes."""
    data = b"PAR1" + b"".join(pages)
    column = {1: 1, 2: [0], 3: [b"x"], 4: codec, 5: Long(rows), 6: Long(99), 7: Long(len(data) - 4), 9: Long(4)}
    column.update({k: Long(v) if k > 4 else v for k, v in (meta or {}).items()})
    columns = [{2: Long(4), 3: column}] if chunks is None else chunks(column)
    schema = [{4: b"schema", 5: 1}, {1: 1, 3: 0, 4: b"x", **(leaf or {})}] + (element or [])
    footer = {1: 1, 2: schema, 3: Long(rows if file_rows is None else file_rows),
              4: [{1: columns, 2: Long(99), 3: Long(rows)}]}
    footer.update(extra or {})
    tail = thrift(footer)
    return data + tail + struct.pack("<I", len(tail)) + b"PAR1"


def long_list(n):
    """A page of one row: n times the same entry of a dictionary, in a few bytes."""
    rep = b"\x02\x00" + varint((n - 1) << 1) + b"\x01"
    levels = varint(n << 1) + b"\x01"
    body = struct.pack("<I", len(rep)) + rep + struct.pack("<I", len(levels)) + levels
    return raw_page(body + b"\x01" + varint(n << 1) + b"\x00", values=n, encoding=8)


def broken():
    folder = OUT / "broken"
    folder.mkdir(exist_ok=True)
    four = struct.pack("<4i", 7, -1, 2, 3)
    page = raw_page(four)
    where = 'row group 0, column "x": '
    optional = {3: 1}
    cases = {
        "good": (raw_file([page]), ""),
        "outside": (raw_file([page], meta={9: 900}), where + "it lies outside of the file's data"),
        "negative": (raw_file([page], meta={9: -5}), where + "it lies outside of the file's data"),
        "too-long": (raw_file([page], meta={7: 2**40}), where + "it lies outside of the file's data"),
        "over-another": (raw_file([page], leaf={}, element=[{1: 1, 3: 0, 4: b"y"}], chunks=lambda c: [{3: c}, {3: c}],
                                  extra={2: [{4: b"schema", 5: 2}, {1: 1, 3: 0, 4: b"x"}, {1: 1, 3: 0, 4: b"y"}]}),
                         "it lies over another column"),
        "rows": (raw_file([page], file_rows=5), "its number of rows is not the sum of its row groups"),
        "entries": (raw_file([page], meta={5: 3}), where + "its number of entries does not fit"),
        "rows-negative": (raw_file([page], rows=-1), "lacks the schema, the row groups or the number of rows"),
        "few-columns": (raw_file([page], chunks=lambda c: []), "another number of columns"),
        "type": (raw_file([page], meta={1: 2}), where + "its type is not the one of the schema"),
        "unknown-type": (raw_file([page], leaf={1: 9}), "a column has an unknown type"),
        "other-file": (raw_file([page], chunks=lambda c: [{1: b"x.parquet", 3: c}]), "lies in another file"),
        "encrypted": (raw_file([page], extra={8: {1: 1}}), "the file is encrypted"),
        "no-children": (raw_file([page], extra={2: [{4: b"schema", 5: 3}, {1: 1, 3: 0, 4: b"x"}]}),
                        "the schema ends too early"),
        "two-names": (raw_file([page], chunks=lambda c: [{3: c}, {3: c}],
                               extra={2: [{4: b"schema", 5: 2}, {1: 1, 3: 0, 4: b"x"}, {1: 1, 3: 0, 4: b"x"}]}),
                      "two columns of one group have the same name"),
        "bomb": (raw_file([raw_page(b"x" * 30, unpacked=900 << 20)], codec=2),
                 where + "a page would grow more than 1100 times when it is unpacked"),
        "huge": (raw_file([raw_page(b"x" * 30, unpacked=2**31 - 1)], codec=2),
                 where + "a page would unpack to more than 1 GiB"),
        "page-too-long": (raw_file([raw_page(four, packed=5000, unpacked=5000)]),
                          where + "a page is longer than its column"),
        "two-sizes": (raw_file([raw_page(four, unpacked=40)]), where + "a page that is not packed has two sizes"),
        "not-gzip": (raw_file([raw_page(four)], codec=2), where + "a page is not what gzip wrote"),
        "pages-end": (raw_file([raw_page(four[:8], values=2)]), where + "its pages end 2 entries too early"),
        "too-many": (raw_file([raw_page(four + four, values=8)]), where + "a page has more entries than its column"),
        "few-values": (raw_file([raw_page(four[:12])]), where + "a page has fewer values than it says"),
        "no-dictionary": (raw_file([raw_page(b"\1\x03\x0a", encoding=8)]), where + "a page refers to a dictionary that is not there"),
        "dictionary-index": (raw_file([raw_page(four[:4], values=1, kind=2), raw_page(b"\1\x03\xff", encoding=8)]),
                             where + "a page refers to an entry that its dictionary does not have"),
        "two-dictionaries": (raw_file([raw_page(four[:4], values=1, kind=2)] * 2 + [page]),
                             where + "there are two dictionaries"),
        "dictionary-short": (raw_file([raw_page(four[:4], values=9, kind=2), page]),
                             where + "a dictionary has fewer entries than it says"),
        "levels-end": (raw_file([raw_page(b"\2\0\0\0\x02\x01" + four)], leaf=optional),
                       where + "a page has fewer levels than entries"),
        "levels-long": (raw_file([raw_page(b"\xff\xff\0\0" + four)], leaf=optional),
                        where + "a page ends inside its levels"),
        "level-high": (raw_file([raw_page(b"\2\0\0\0\x08\x05" + four)], leaf=optional),
                       where + "a page has a level that its column cannot have"),
        "delta": (raw_file([raw_page(b"\x80\x01\x04\x04\x00\x00\xff\xff\xff\xff", encoding=5)]),
                  where + "a page has fewer values than it says"),
        "encoding": (raw_file([raw_page(four, encoding=4)]), where + "a page's encoding is unknown"),
        "checksum": (raw_file([raw_page(four, header={4: 1})]), where + "a page's checksum is wrong"),
        "prefix": (raw_file([raw_page(b"\x80\x01\x04\x01\x02" * 2 + b"a", values=1, encoding=7)], rows=1,
                            leaf={1: 6}, meta={1: 6}), where + "a value shares more with the one before"),
        "long-row": (raw_file([raw_page(four[:4], values=1, kind=2), long_list(2**30)], rows=1, meta={5: 2**30},
                              leaf={3: 2}), where + "row 0 has more than 4194304 entries"),
        "header": (raw_file([b"\x15\xff\xff"]), where + "a page header is damaged"),
    }
    about = {}
    for name, (data, words) in cases.items():
        (folder / f"{name}.parquet").write_bytes(data)
        about[name] = words
    assert pq.read_table(folder / "good.parquet").to_pydict() == {"x": [7, -1, 2, 3]}
    (folder / "about.json").write_text(json.dumps(about, indent=1) + "\n")


# ---- fixtures ----

def fixture_table():
    """Every type and nesting that data sets use, forty rows."""
    n = 40
    pictures = [b"\x89PNG\r\n\x1a\n" + bytes([i]) * (20 + 9 * i) for i in range(5)]
    return pa.table({
        "question_id": pa.array([str(i) for i in range(n)]),
        "index": pa.array(range(1000, 1000 + n), pa.int64()),
        "small": pa.array([None if i % 7 == 3 else i % 5 for i in range(n)], pa.int32()),
        "yes": pa.array([i % 3 == 0 for i in range(n)]),
        "share": pa.array([i / 8 for i in range(n)], pa.float32()),
        "score": pa.array([None if i == 5 else i / 7 for i in range(n)], pa.float64()),
        "question": pa.array([f"Is there a {'dog' if i % 2 else 'cat'} in picture {i // 4}?" for i in range(n)]),
        "hint": pa.array([None if i % 4 else "\u7b54\u6848 caf\u00e9" for i in range(n)]),
        "image": pa.array([None if i % 6 == 5 else {"bytes": pictures[i // 4 % 5], "path": f"{i // 4}.png"}
                           for i in range(n)], IMAGE),
        "choices": pa.array([[f"option {k}" for k in range(i % 5)] if i != 9 else None for i in range(n)],
                            pa.list_(pa.string())),
        "answers": pa.array([[{"answer": f"a{k % 3}", "answer_id": k, "answer_confidence": "yes" if k else None}
                              for k in range(i % 4)] for i in range(n)],
                            pa.list_(pa.struct([("answer", pa.string()), ("answer_id", pa.int64()),
                                                ("answer_confidence", pa.string())]))),
        "nested": pa.array([[[i, None], [], None][: i % 4] for i in range(n)], pa.list_(pa.list_(pa.int16()))),
        "types": pa.array([{"structural": "query", "inner": None if i % 2 else {"x": i}} for i in range(n)],
                          pa.struct([("structural", pa.string()), ("inner", pa.struct([("x", pa.uint8())]))])),
        "code": pa.array([bytes([i, 255, 0, 7]) for i in range(n)], pa.binary(4)),
        "price": pa.array([decimal.Decimal(i * 7 - 100).scaleb(-2) for i in range(n)], pa.decimal128(9, 2)),
    })


def fixtures():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    table = fixture_table()
    (OUT / "rows.json").write_text(json.dumps(rows_of(table), indent=None, separators=(",", ":"), ensure_ascii=False)
                                   .replace("},{\"question_id", "},\n{\"question_id") + "\n")
    digests = [hashlib.sha256(v["bytes"]).hexdigest() if v else None for v in table["image"].to_pylist()]
    (OUT / "pictures.json").write_text(json.dumps(digests, indent=0) + "\n")
    small = {"row_group_size": 15, "data_page_size": 150, "write_batch_size": 4, "write_statistics": False}
    pq.write_table(table, OUT / "none-v1-dictionary.parquet", compression="none", **small,
                   write_page_checksum=True)
    pq.write_table(table, OUT / "snappy-v1-dictionary.parquet", compression="snappy", **small,
                   write_page_checksum=True)
    pq.write_table(table, OUT / "gzip-v2-plain.parquet", compression="gzip", use_dictionary=False,
                   data_page_version="2.0", **small)
    pq.write_table(table, OUT / "zstd-v2-delta.parquet", compression="zstd", use_dictionary=False,
                   data_page_version="2.0", column_encoding={
                       "question_id": "DELTA_BYTE_ARRAY", "index": "DELTA_BINARY_PACKED",
                       "small": "DELTA_BINARY_PACKED", "yes": "RLE", "share": "BYTE_STREAM_SPLIT",
                       "score": "BYTE_STREAM_SPLIT", "question": "DELTA_BYTE_ARRAY",
                       "hint": "DELTA_LENGTH_BYTE_ARRAY", "image.bytes": "DELTA_LENGTH_BYTE_ARRAY",
                       "answers.list.element.answer_id": "DELTA_BINARY_PACKED",
                       "code": "DELTA_BYTE_ARRAY", "price": "BYTE_STREAM_SPLIT"}, **small)
    pq.write_table(table, OUT / "none-v2-split.parquet", compression="none", use_dictionary=False,
                   data_page_version="2.0", column_encoding={"index": "BYTE_STREAM_SPLIT",
                                                             "small": "BYTE_STREAM_SPLIT",
                                                             "code": "BYTE_STREAM_SPLIT"}, **small)
    for i in range(3):          # shards as the hub names them
        pq.write_table(table.slice(14 * i, 14), OUT / f"test-{i:05}-of-00003.parquet", compression="gzip")
    pair = pa.struct([("a", IMAGE), ("b", pa.list_(IMAGE))])
    pq.write_table(pa.table({"image-pair": pa.array([{"a": image(1), "b": [image(2), image(1), image(3)]}], pair),
                             "image_pair": pa.array([image(4)], IMAGE)}), OUT / "pairs.parquet", compression="gzip")
    few = table.select(["question_id", "index"]).slice(0, 3)
    pq.write_table(few, OUT / "brotli.parquet", compression="brotli")
    pq.write_table(few, OUT / "lz4.parquet", compression="lz4")
    hub()
    broken()
    names = sorted(str(p.relative_to(OUT)) for p in OUT.rglob("*") if p.is_file())
    (OUT / "SHA256SUMS").write_text("".join(
        f"{hashlib.sha256((OUT / name).read_bytes()).hexdigest()}  {name}\n" for name in names))

# ---- benchmarks as the hub publishes them, made up, a few rows each ----

def picture(number):
    """A picture of 8 x 8 in one colour, as PNG."""
    rows = b"".join(b"\0" + bytes([number * 20 % 256, 90, 255 - number * 20 % 256]) * 8 for _ in range(8))

    def part(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (b"\x89PNG\r\n\x1a\n" + part(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)) +
            part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b""))


def image(number):
    return None if number is None else {"bytes": picture(number), "path": "image.png"}


SHORT = "\nAnswer the question using a single word or phrase."
LETTER = "\nAnswer with the option's letter from the given choices directly."


def column_type(field):
    """What from_pylist guesses, but pictures as the hub has them."""
    if pa.types.is_list(field.type) and pa.types.is_struct(field.type.value_type) and field.name == "image":
        return pa.list_(IMAGE)
    is_picture = pa.types.is_struct(field.type) or pa.types.is_null(field.type)
    return IMAGE if "image" in field.name and is_picture else field.type


def hub_sets():
    """name -> (benchmark, rows, prompt of the first row, right answers, pictures' numbers)"""
    people = lambda word: [{"answer": word, "answer_confidence": "yes", "answer_id": i} for i in range(1, 11)]
    sets = {}
    sets["pope"] = ("pope", [
        {"id": str(i), "question_id": str(1 + i % 2), "question": f"Is there a {what} in the image?", "answer": answer,
         "image_source": f"COCO_val2014_{i % 2}", "image": image(i % 2), "category": category}
        for i, (what, answer, category) in enumerate([
            ("cat", "yes", "adversarial"), ("dog", "no", "adversarial"), ("cat", "yes", "popular"),
            ("fork", "no", "popular"), ("cat", "yes", "random"), ("cup", "no", "random")])],
        "Is there a cat in the image?" + SHORT, ["Yes", "No", "yes, it is", "no", "Yes", "not"], [0, 1, 0, 1, 0, 1])
    sets["vqav2"] = ("vqav2", [
        {"question_type": "what", "multiple_choice_answer": word, "answers": people(word), "image_id": 42,
         "answer_type": "other", "question_id": 42000 + i, "question": f"What is {i}?", "image": image(3)}
        for i, word in enumerate(["red", "blue"])], "What is 0?" + SHORT, ["red", "Blue"], [3, 3])
    sets["vizwiz"] = ("vizwiz", [
        {"question_id": f"VizWiz_val_{i:08}.jpg", "image": image(i), "question": "What is this?",
         "answers": [word] * 10, "category": kind}
        for i, (word, kind) in enumerate([("soup", "other"), ("unanswerable", "unanswerable")])],
        "What is this?\nWhen the provided information is insufficient, respond with 'Unanswerable'." + SHORT,
        ["Soup", "Unanswerable"], [0, 1])
    sets["textvqa"] = ("textvqa", [
        {"image_id": "0a1", "question_id": 7 + i, "question": f"What number {i}?", "question_tokens": ["what"],
         "image": image(5), "image_width": 8, "answers": [word] * 10, "image_classes": ["Bus"],
         "set_name": "val",
         "ocr_tokens": ["12", "stop"]} for i, word in enumerate(["12", "stop"])],
        "What number 0?\nReference OCR token: 12, stop" + SHORT, ["12", "stop"], [5, 5])
    sets["textvqa-plain"] = ("textvqa-plain", sets["textvqa"][1], "What number 0?" + SHORT, ["12", "stop"], [5, 5])
    sets["scienceqa"] = ("scienceqa", [
        {"image": image(picture_number), "question": f"Which {i}?", "choices": ["a b", "c"], "answer": i % 2,
         "hint": hint, "task": "closed choice", "grade": "grade2", "subject": "s", "topic": "t", "category": "c",
         "skill": "k", "lecture": "", "solution": ""}
        for i, (picture_number, hint) in enumerate([(1, "Look."), (None, ""), (2, "")])],
        "Context: Look.\nWhich 0?\nA. a b\nB. c" + LETTER, ["A", "B", "A"], [1, None, 2])
    sets["mme"] = ("mme", [
        {"question_id": f"{task}/0{k}.png", "image": image(k), "question": f"Is it {word}? Please answer yes or no.",
         "answer": word, "category": task} for task in ["existence", "code_reasoning"] for k in range(2)
        for word in ["Yes", "No"]], "Is it Yes?" + SHORT, ["Yes", "No"] * 4, [0, 0, 1, 1, 0, 0, 1, 1])
    sets["mmbench"] = ("mmbench", [
        {"index": base + 1000000 * k, "question": "Which?", "hint": "nan", "answer": letter, "A": "x", "B": "y", "C": "nan",
         "D": "nan", "category": "c", "image": image(base), "source": "s", "L2-category": "AR", "comment": "nan",
         "split": "dev"} for base in range(2) for k, letter in enumerate("AB")],
        "Which?\nA. x\nB. y" + LETTER, ["A", "B", "A", "B"], [0, 0, 1, 1])
    sets["seed"] = ("seed", [
        {"answer": letter, "choice_a": "1", "choice_b": "2", "choice_c": "3", "choice_d": "4", "data_id": f"d{i}",
         "data_type": kind, "question": "How many?", "question_id": number, "question_type_id": i + 1,
         "image": [image(i), image(9)]} for i, (letter, kind, number) in enumerate(
             [("A", "image", "101669"), ("D", "video", "v1")])],
        "How many?\nA. 1\nB. 2\nC. 3\nD. 4" + LETTER, ["A", "D"], [0, 1])
    sets["mmmu"] = ("mmmu", [
        {"id": f"validation_Art_{i}", "question": "<image 1> What?", "options": options, "explanation": "",
         "image_1": image(i), "image_2": image(8) if i else None, "img_type": "['Tables']", "answer": answer,
         "topic_difficulty": "Easy", "question_type": kind, "subfield": "x"}
        for i, (options, answer, kind) in enumerate([("['x', 'y z']", "B", "multiple-choice"), ("[]", "7", "open")])],
        "<image 1> What?\n\n(A) x\n(B) y z\n" + LETTER, ["B", "It is 7."], [0, 1])
    sets["ai2d"] = ("ai2d", [
        {"question": "Which?", "options": ["a", "b", "c", "d"], "answer": str(i), "image": image(i)} for i in [2, 0]],
        "Which?\nA. a\nB. b\nC. c\nD. d" + LETTER, ["C", "A"], [2, 0])
    sets["mmstar"] = ("mmstar", [
        {"index": i, "question": "Which?\nOptions: A: x, B: y, C: z, D: w", "image": image(i), "answer": "AD"[i],
         "category": "math", "l2_category": "algebra", "meta_info": {"source": "s", "split": "val"}} for i in range(2)],
        "Which?\nOptions: A: x, B: y, C: z, D: w" + LETTER[:-1], ["A", "D"], [0, 1])
    sets["realworldqa"] = ("realworldqa", [
        {"image": image(i), "question": "Left? Please answer directly.", "answer": word, "image_path": f"{i}.webp"}
        for i, word in enumerate(["A", "Yes"])], "Left? Please answer directly.", ["A", "yes."], [0, 1])
    sets["cv-bench"] = ("cv-bench", [
        {"idx": i, "type": kind, "task": task, "image": image(i), "question": "How many?", "choices": ["1", "2"],
         "answer": "(B)", "prompt": "How many? (A) 1 (B) 2", "filename": f"img/{i}.png", "source": source,
         "source_dataset": source, "target_class": None, "bbox": [[0.0, 1.0, 2.0, 3.0]]}
        for i, (kind, task, source) in enumerate([("2D", "Count", "ADE20K"), ("2D", "Count", "COCO"),
                                                  ("3D", "Depth", "Omni3D")])],
        "Note: You only need to respond with A, B without providing any additional information.\nHow many? (A) 1 (B) 2",
        ["B", "(B)", "B"], [0, 1, 2])
    sets["mmvp"] = ("mmvp", [
        {"Index": 1 + i, "Question": "Is it open?", "Options": "(a) Open (b) Closed", "Correct Answer": f"({'ab'[i]})",
         "image": image(i)} for i in range(2)], None, ["(a)", "(b)"], [0, 1])
    sets["chartqa"] = ("chartqa", [
        {"type": kind, "question": "How much?", "answer": "20", "image": image(i)}
        for i, kind in enumerate(["human_test", "augmented_test"])],
        "How much?\nAnswer the question with a single word.", ["20", "20.5"], [0, 1])
    sets["docvqa"] = ("docvqa", [
        {"questionId": str(50 + i), "question": "Date?", "question_types": ["form"], "image": image(4), "docId": 3,
         "ucsf_document_id": "abcd", "ucsf_document_page_no": "2", "answers": ["May 1", "1 May"]} for i in range(2)],
        "Date?" + SHORT, ["May 1", "1 may"], [4, 4])
    sets["ocrbench"] = ("ocrbench", [
        {"dataset": "IIIT5K", "question": "what is written in the image?", "question_type": "Regular Text Recognition",
         "answer": ["CENTRE"], "image": image(i)} for i in range(2)], "what is written in the image?",
        ["centre", "The Centre."], [0, 1])
    sets["mathvista"] = ("mathvista", [
        {"pid": str(1 + i), "question": "How much?", "image": f"images/{i}.jpg", "decoded_image": image(i),
         "choices": choices, "unit": None, "precision": 1.0, "answer": answer, "question_type": kind,
         "answer_type": "text" if choices else "float",
         "metadata": {"category": "math", "context": "table", "grade": "high", "language": "english",
                      "skills": ["arithmetic"], "source": "s", "split": "testmini", "task": "t"},
         "query": f"Query {i}"} for i, (choices, answer, kind) in enumerate(
             [(["x", "y"], "y", "multi_choice"), (None, "1.2", "free_form")])],
        "Query 0", ["(B)", "1.20"], [0, 1])
    sets["hallusionbench"] = ("hallusionbench", [
        {"category": category, "subcategory": "chart", "visual_input": "1", "set_id": "0", "figure_id": str(k),
         "sample_note": "x", "question_id": "0", "question": "Is it?", "gt_answer_details": "d", "gt_answer": "01"[k],
         "filename": f"./{category}/{k}.png" if k or category == "VD" else None, "image": image(k)}
        for category in ["VD"] for k in range(2)], "Is it?", ["No", "Yes"], [0, 1])
    sets["coco-caption"] = ("coco-caption", [
        {"question_id": f"{i}.jpg", "image": image(i), "question": "Describe.", "answer": [text] * 5, "id": 390 + i,
         "file_name": f"COCO_{i}.jpg"} for i, text in enumerate(["a black dog runs far", "two red cups on a table"])],
        "Provide a one-sentence caption for the provided image.",
        ["a black dog runs far", "two red cups on a table"], [0, 1])
    sets["nocaps"] = ("nocaps", [
        {"image": image(i), "image_file_name": f"{i}.jpg", "image_id": i, "annotations_ids": [0],
         "annotations_captions": [text] * 10} for i, text in enumerate(["a big old blue bus", "one cat on a mat"])],
        "Provide a one-sentence caption for the provided image.", ["a big old blue bus", "one cat on a mat"], [0, 1])
    sets["flickr30k"] = ("flickr30k", [
        {"image": image(i), "caption": [text] * 5, "sentids": ["0"], "split": "test", "img_id": str(i),
         "filename": f"{i}.jpg"} for i, text in enumerate(["a man in a hat walks", "three girls sit down here"])],
        "Provide a one-sentence caption for the provided image.",
        ["a man in a hat walks", "three girls sit down here"], [0, 1])
    sets["mm-vet"] = ("mm-vet", [
        {"question_id": f"v1_{i}", "image": image(i), "question": "What?", "answer": "x<OR>y", "image_source": "s",
         "capability": "ocr,math"} for i in range(2)], "What?", None, [0, 1])
    sets["llava-bench"] = ("llava-bench", [
        {"question_id": i, "question": "What is it?", "image": image(0), "category": "conv", "image_id": "001.jpg",
         "gpt_answer": "a", "caption": "c"} for i in range(2)], "What is it?", None, [0, 0])
    return sets


def hub():
    folder = OUT / "hub"
    folder.mkdir(exist_ok=True)
    about = {}
    options = {"compression": "gzip", "write_statistics": False, "store_schema": False}

    def write(rows, path):
        path.parent.mkdir(exist_ok=True)
        fields = pa.Table.from_pylist(rows).schema
        schema = pa.schema([pa.field(f.name, column_type(f)) for f in fields])
        pq.write_table(pa.Table.from_pylist(rows, schema), path, row_group_size=4, **options)

    for name, (bench, rows, prompt, answers, pictures) in hub_sets().items():
        write(rows, folder / f"{name}.parquet")
        about[name] = {"bench": bench, "questions": f"{name}.parquet", "count": len(rows), "prompt": prompt,
                       "answers": answers, "pictures": pictures}
    instructions = [{"id": f"0{i}", "imageId": f"n{9 - i // 2}", "question": f"Which {i}?", "answer": word,
                     "fullAnswer": word, "isBalanced": True, "types": {"structural": "query", "semantic": "obj"}}
                    for i, word in enumerate(["cat", "table", "yes"])]
    write(instructions, folder / "testdev_balanced_instructions" / "testdev-00000-of-00001.parquet")
    write([{"id": f"n{8 + i}", "image": image(6 + i)} for i in range(2)],
          folder / "testdev_balanced_images" / "testdev-00000-of-00001.parquet")
    about["gqa"] = {"bench": "gqa", "questions": "testdev_balanced_instructions", "count": 3,
                    "prompt": "Which 0?" + SHORT, "answers": ["cat", "Table.", "yes"], "pictures": [7, 7, 6]}
    (folder / "about.json").write_text(json.dumps(about, indent=1) + "\n")



if len(sys.argv) > 1:
    sys.exit(compare_random(sys.argv[1], int((sys.argv + [0, 500])[2] or 500) if len(sys.argv) > 2 else 500,
                            int(sys.argv[3]) if len(sys.argv) > 3 else 1) > 0)
fixtures()
