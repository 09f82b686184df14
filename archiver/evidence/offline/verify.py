"""verify.py: checks a folder that `archiver export --proofs` or `archiver evidence proof` wrote. 核验导出的证据文件夹。

    python3 verify.py [FOLDER] [--vkey FILE] [--anchors FILE ...] [--tsa-root FILE]

One file, Python 3.9 or later, the standard library alone; `openssl` is asked about time stamps where it is present.
Exit codes: 0 all agrees, 3 a difference, 2 wrong usage. It shares no code with the program that wrote the folder.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from archiver.evidence.offline.folder import FolderCheck

UNKNOWN = (
    ("密钥是否真属于该归档：请用保管人提供的公钥（--vkey）", "whose key it is, unless --vkey names the keeper's copy"),
    (
        "封存之前是否有遗漏，持有密钥者是否伪造",
        "what was left out before it was sealed, or forged by a holder of the key",
    ),
    ("是否还有未导出的消息", "whether there are messages beside those that were exported"),
    ("除 raw 之外的字段是否正确解读了原文", "whether the fields beside `raw` render it faithfully: compare them"),
    (
        "检查点之后账本有无改动：请用外部副本（--anchors）",
        "what others saw: compare with copies from outside (--anchors)",
    ),
    ("时间戳机构的证书是否可信：请用 --tsa-root", "whether the authority of time stamps is trusted: use --tsa-root"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description="Verify a folder of evidence / 核验证据文件夹")
    parser.add_argument("folder", nargs="?", default=os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument("--vkey", metavar="FILE", help="the keeper's copy of the public key / 保管人的公钥")
    parser.add_argument(
        "--anchors", metavar="FILE", nargs="+", default=[], help="checkpoints from outside / 外部检查点"
    )
    parser.add_argument("--tsa-root", metavar="FILE", help="root certificate of time stamps / 时间戳机构的根证书")
    given = parser.parse_args()
    for file in [given.vkey, given.tsa_root, *given.anchors]:
        if file is not None and not os.path.isfile(file):
            parser.error(f"{file}: no such file / 没有这个文件")
    if not any(os.path.isfile(os.path.join(given.folder, name)) for name in ("record.json", "ledger/note")):
        parser.error(f"{given.folder}: no evidence there / 其中没有证据")
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    print("已核验 / What was checked")
    check = FolderCheck(Path(given.folder), given.vkey, given.anchors, given.tsa_root)
    code = check.run()
    print("无法得知 / What this cannot know")
    for zh, en in UNKNOWN:
        check.report(zh, en)
    print("结论：全部相符 / All agrees" if code == 0 else f"结论：{check.wrong} 处不符 / {check.wrong} differences")
    return code


if __name__ == "__main__":
    sys.exit(main())
