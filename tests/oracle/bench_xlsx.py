# SPDX-License-Identifier: Apache-2.0
"""Spreadsheets as pandas and openpyxl write them, and what pandas reads back.

Writes tests/oracle/fixtures/sheets: shared.xlsx (texts in a table of their own) and its
sheet.xml, inline.xlsx (texts in the cells, as MMBench's uploads were published), and
rows.json, the cells that
tests/pipeline/test_benchmarks_files.c compares with. Needs openpyxl and pandas. Given the
program, it also reads with pandas what `sea score mmbench --export` wrote.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile

import pandas as pd
from openpyxl import Workbook

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures", "sheets")
HEADER = ["index", "question", "A", "B", "C", "D", "prediction", "answer", "split"]
ROWS = [[1, "Why <this> & \"that\"?", "red", "blue", None, None, "B", "B", "dev"],
        [1000001, "two\nlines\tand a tab", "blue", "red", None, None, "A", "A", "dev"],
        [2, "caf\u00e9 \u4e2d\u6587 \U0001f600", "1", "0.5", "7", "TRUE", 7, "C", "dev"],
        [3, "  blanks stay  ", "x_y", "_x", "a]]>b", "&amp;", 0.5, "D", "dev"],
        [4, "it's", "x", "y", "z", "w", True, "A", "dev"],
        [5, "formula", "x", "y", "z", "w", "= not one", "A", "dev"],
        [6, "nothing said", "x", "y", None, None, None, "A", "dev"]]


def write(path):
    book = Workbook()
    sheet = book.active
    sheet.append(HEADER)
    for row in ROWS:
        sheet.append(row)
    for cells in sheet.iter_rows(min_row=2):
        for cell in cells:
            if isinstance(cell.value, str):
                cell.data_type = "s"    # "= not one" is a text
    book.create_sheet("another").append(["not", "read"])
    book.save(path)


def share(source, path):
    """The same cells with their texts in a table, as Excel writes them: one in two runs of
    another style, and with a reading aid that is no part of it."""
    texts = []

    def number(match):
        texts.append(match[1])
        return f't="s"><v>{len(texts) - 1}</v>'

    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        parts = {name: old.read(name) for name in old.namelist()}
        sheet = "xl/worksheets/sheet1.xml"
        parts[sheet] = re.sub(r't="inlineStr"><is>(.*?)</is>', number, parts[sheet].decode(),
                              flags=re.S).encode()
        first = next(i for i, t in enumerate(texts) if "Why" in t)
        plain = re.sub("<.*?>", "", texts[first])
        texts[first] = (f"<r><rPr><b/></rPr><t>{plain[:4]}</t></r>"
                        f'<r><t xml:space="preserve">{plain[4:]}</t></r>'
                        "<rPh sb=\"0\" eb=\"1\"><t>why</t></rPh>")
        parts["xl/sharedStrings.xml"] = (
            '<?xml version="1.0"?><sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/'
            'main">' + "".join(f"<si>{t}</si>" for t in texts) + "</sst>").encode()
        parts["[Content_Types].xml"] = parts["[Content_Types].xml"].replace(
            b"</Types>", b'<Override PartName="/xl/sharedStrings.xml" ContentType="application/'
            b'vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/></Types>')
        parts["xl/_rels/workbook.xml.rels"] = parts["xl/_rels/workbook.xml.rels"].replace(
            b"</Relationships>", b'<Relationship Id="rIdS" Target="sharedStrings.xml" Type="http://'
            b'schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings"/>'
            b"</Relationships>")
        for name, data in parts.items():
            new.writestr(zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), data,
                         zipfile.ZIP_DEFLATED)


def cells(path):
    frame = pd.read_excel(path, keep_default_na=False)
    return [[str(v) for v in row] for row in frame.values.tolist()]


def main():
    os.makedirs(OUT, exist_ok=True)
    shared, put = os.path.join(OUT, "shared.xlsx"), os.path.join(OUT, "inline.xlsx")
    write(put)
    share(put, shared)
    assert cells(shared) == cells(put)
    with zipfile.ZipFile(shared) as book, open(os.path.join(OUT, "sheet.xml"), "wb") as f:
        f.write(book.read("xl/worksheets/sheet1.xml"))
    with open(os.path.join(OUT, "rows.json"), "w", encoding="utf-8") as f:
        json.dump({"columns": HEADER, "rows": cells(shared)}, f, indent=0)
        f.write("\n")
    if len(sys.argv) < 2:
        return
    with tempfile.TemporaryDirectory() as work:
        out = os.path.join(work, "out.xlsx")
        subprocess.run([os.path.join(sys.argv[1], "sea"), "score", "mmbench", "--questions", put,
                        "--answers", shared, "--export", out], check=True, stdout=subprocess.DEVNULL)
        ours, theirs = cells(out), cells(shared)
        for row in theirs:              # a text is what an answer is
            row[6] = str(row[6])
        assert ours == theirs, (ours, theirs)
        print(len(ours), "rows written by the program are read by pandas")


main()
