"""A folder of evidence: its files, entries, records and checkpoints against one another."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from archiver.evidence.offline.curve import ed25519_verify, is_beginning, root_from_path, sha256
from archiver.evidence.offline.stamps import stamped_at
from archiver.evidence.offline.texts import (
    CheckpointText,
    Json,
    Wrong,
    canonical,
    keys_in,
    notes_in,
    raw_of,
    shown,
    unbase64,
)

SHOWN = 20


def day(ms: int | None) -> str:
    """An instant of an entry in UTC."""
    return "?" if ms is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms / 1000))


class FolderCheck:
    """What was checked in one folder, and what disagreed."""

    def __init__(self, folder: Path, trusted: str | None, anchors: Sequence[str], tsa_root: str | None) -> None:
        self.folder, self.trusted, self.anchors, self.tsa_root = folder, trusted, anchors, tsa_root
        self.wrong = 0
        self.manifest: Json = {"files": []}
        self.entries: dict[int, Json] = {}
        single = folder / "record.json"
        self.single: Json | None = json.loads(single.read_text(encoding="utf-8")) if single.exists() else None

    def report(self, zh: str, en: str) -> None:
        print(f"  {zh}\n    {en}")

    def differ(self, zh: str, en: str) -> None:
        self.wrong += 1
        if self.wrong <= SHOWN:
            self.report(f"不符：{zh}", f"DIFFERENCE: {en}")

    def run(self) -> int:
        steps = (self.files, self.ledger, self.records, self.outside, self.stamps)
        for step in steps if self.single is None else (self.ledger, self.records):
            try:
                step()
            except Wrong as wrong:
                self.differ(*wrong.args)
            except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
                self.differ(f"{step.__name__}：无法读取（{type(error).__name__}）", f"{step.__name__} cannot be read")
        return 3 if self.wrong else 0

    def path(self, name: str) -> Path:
        """A file of the folder: no link, and nothing outside."""
        path = self.folder / name
        inside = os.path.realpath(path) == os.path.join(os.path.realpath(self.folder), *Path(name).parts)
        if not inside or ".." in Path(name).parts:
            raise Wrong(f"{shown(name)} 不在文件夹内", f"{shown(name)} is not in the folder")
        return path

    def lines(self, name: str) -> Iterator[Json]:
        with self.path(name).open(encoding="utf-8") as file:
            yield from map(json.loads, file)

    def files(self) -> None:
        """Every file against the manifest, which says how the folder was handed out."""
        self.manifest = json.loads(self.path("manifest.json").read_text(encoding="utf-8"))
        for entry in self.manifest["files"]:
            digest = sha256()
            with self.path(entry["path"]).open("rb") as file:
                for piece in iter(lambda: file.read(1 << 20), b""):
                    digest.update(piece)
            if digest.hexdigest() != entry["sha256"]:
                name = shown(entry["path"])
                self.differ(f"{name} 与清单不一致", f"{name} is not what the manifest says")
        count = len(self.manifest["files"])
        self.report(f"{count} 个文件与清单逐一核对", f"{count} files were compared with the manifest")

    def ledger(self) -> None:
        """The checkpoint, its key, and the entries with their paths and signatures."""
        name = "note" if self.single else "ledger/note"
        notes = notes_in(self.path(name).read_text(encoding="utf-8"))
        if len(notes) != 1:
            raise Wrong(f"{name} 不是一个检查点", f"{name} is no checkpoint")
        self.note = notes[0]
        for line in self.single["entries"] if self.single else self.lines("ledger/entries.jsonl"):
            text, index = line["entry"], line["index"]
            leaf = sha256(b"\0" + text.encode()).digest()
            path = [unbase64(one) for one in line["path"]]
            if root_from_path(leaf, index, self.note.size, path) != self.note.root:
                raise Wrong(f"条目 {index} 不在账本中", f"entry {index} is not in the ledger of the checkpoint")
            self.entries[index] = json.loads(text)
            if canonical(self.entries[index]) != text:
                raise Wrong(f"条目 {index} 的写法不规范", f"entry {index} is not in its canonical spelling")
        self.signatures()
        size, count = self.note.size, len(self.entries)
        origin = shown(self.note.origin)
        self.report(
            f"检查点（{origin}，{size} 条）及其中 {count} 个条目的路径和签名均已核对",
            f"checkpoint {size} of {origin}: its signature, and the paths and signatures of {count} of its entries",
        )
        self.claims()

    def claims(self) -> None:
        """What the ledger says of completeness: signed, so that no later state can say otherwise."""
        for index, entry in sorted(self.entries.items()):
            if entry["kind"] == "claim":
                source = f"{shown(entry['app'])} ({shown(entry['source'])})"
                lo, hi = (day(entry[name]) for name in ("from", "until"))
                holes = unbase64(entry["holes_root"]) != sha256().digest()
                self.report(
                    f"条目 {index} 声明：{source} 自 {lo} 至 {hi} 完整{'，但有缺口' if holes else ''}",
                    f"entry {index} claims: {source} is complete from {lo} to {hi}{', but for holes' if holes else ''}",
                )

    def signatures(self) -> None:
        """Keys are those that the `start` entry before lists; the first ones are trusted, or have to be compared."""
        outside, until = keys_in(Path(self.trusted).read_text(encoding="utf-8")) if self.trusted else ({}, {})
        starts = {at: keys_in("\n".join(one["keys"]))[0] for at, one in self.entries.items() if one["kind"] == "start"}
        if not starts:
            raise Wrong("缺少账本的起始条目", "the entry that begins the ledger is missing")
        first = min(starts)
        if not outside:
            fingerprint = ", ".join(sha256(key).hexdigest() for key in starts[first].values())
            keeper = shown(self.entries[first].get("keeper"))
            self.report(
                f"密钥指纹 {fingerprint}：请与保管人（{keeper}）核对，或使用 --vkey",
                f"compare the key's fingerprint {fingerprint} with that of its keeper ({keeper}), or use --vkey",
            )
        keys = outside or starts[first]
        for index, entry in sorted(self.entries.items()):
            self.signed(index, entry, {**keys, **outside} if index in starts else keys, until)
            keys = starts.get(index, keys)
        if not any([self.note.is_signed_by(key) for key in keys.values()]):  # noqa: C419 - all of them are looked at
            raise Wrong("检查点没有已知密钥的签名", "no known key has signed the checkpoint")

    def signed(self, index: int, entry: Json, keys: dict[str, bytes], until: dict[str, int]) -> None:
        unsigned = {name: value for name, value in entry.items() if name != "sig"}
        message = f"archiver-entry-v1\n{self.note.name}\n{canonical(unsigned)}".encode()
        key = keys.get(entry["by"])
        stolen = entry["by"] in until and index >= until[entry["by"]]
        if key is None or stolen or not ed25519_verify(key, message, unbase64(entry["sig"])):
            self.differ(f"条目 {index} 没有有效签名", f"entry {index} has no valid signature")

    def records(self) -> None:
        """Every record's bytes, by its salt and path, against the root in its page's entry."""
        count = missing = later = 0
        for app, message_id, revision, raw, proof in self.exported():
            name = f"{shown(app)} {shown(message_id)} ({revision})"
            if proof is None or [proof["app"], proof["msg_id"], proof["revision"]] != [app, message_id, revision]:
                raise Wrong(f"{name} 没有证明", f"there is no proof for {name}")
            if proof.get("missing") in ("not sealed yet", "not signed yet"):
                missing += 1
            elif "missing" in proof:
                self.differ(f"{name} 无法证明", f"{name} cannot be proved: {shown(proof['missing'])}")
            elif not self.proved(proof, app, raw):
                self.differ(f"{name} 与封存的内容不一致", f"{name} is not what was sealed")
            else:
                count += 1
                later += "baseline" in self.entries[proof["entry"]]
        self.report(f"{count} 条记录的原文自封存以来未变", f"{count} records are byte for byte what was sealed")
        if later:
            self.report(
                f"其中 {later} 条在归档之后才封存", f"{later} of them were sealed by a baseline, after they were stored"
            )
        if missing:
            self.report(f"{missing} 条记录尚未封存或签名", f"{missing} records were not sealed or signed yet: no proof")

    def proved(self, proof: Json, app: str, raw: bytes) -> bool:
        entry = self.entries.get(proof["entry"], {})
        if [entry.get("kind"), entry.get("app"), entry.get("page")] != ["page", app, proof["page"]]:
            return False
        place = proof["position"].to_bytes(4, "big")
        leaf = sha256(b"\0" + unbase64(proof["salt"]) + proof["fate"].encode() + place + raw).digest()
        path = [unbase64(one) for one in proof["path"]]
        right_fate = proof["fate"] in (("c", "q") if proof["revision"] else ("n", "q"))
        return right_fate and root_from_path(leaf, proof["leaf"], entry["n"], path) == unbase64(entry["root"])

    def exported(self) -> Iterator[tuple[str, str, int, bytes, Json | None]]:
        """App, message id, number of the revision, bytes and proof of every record, in the order of the folder."""
        if self.single:
            for record in self.single["records"]:
                yield self.single["app"], self.single["msg_id"], record["revision"], raw_of(record), record["proof"]
            return
        proofs = self.lines("proofs.jsonl")
        for name in [one["path"] for one in self.manifest["files"] if one["path"].startswith("messages/")]:
            for message in self.lines(name):
                for number, record in enumerate([message, *message["revisions"]]):
                    revision = record["revision"] if number else 0
                    yield message["app"], message["msg_id"], revision, raw_of(record), next(proofs, None)
        if next(proofs, None) is not None:
            raise Wrong("proofs.jsonl 多于记录", "proofs.jsonl has more proofs than there are records")

    def outside(self) -> None:
        """Checkpoints that others hold: those of the folder, and those that were brought from outside."""
        known = {(self.note.origin, self.note.size): self.note.root}
        for line in self.lines("anchors/checkpoints.jsonl"):
            note = notes_in(line["note"])[0]
            path = [unbase64(one) for one in line["consistency"] or ()]
            if is_beginning(note.size, note.root, self.note.size, self.note.root, path):
                known[note.origin, note.size] = note.root
            elif not self.is_lost(note):
                self.differ(
                    f"检查点 {note.size} 与账本不符", f"checkpoint {note.size} is not a beginning of the ledger"
                )
        outside = [
            note for file in self.anchors for note in notes_in(Path(file).read_text(encoding="utf-8", errors="replace"))
        ]
        same = [note for note in outside if known.get((note.origin, note.size)) == note.root]
        other = [note for note in outside if known.get((note.origin, note.size), note.root) != note.root]
        for note in other:
            self.differ(f"外部检查点 {note.size} 不同", f"checkpoint {note.size} from outside is another one")
        total, rest = len(known), len(outside) - len(same) - len(other)
        self.report(f"{total} 个检查点属于同一账本", f"{total} checkpoints are of one ledger")
        if self.anchors:
            self.report(
                f"外部副本：{len(same)} 个相同，{rest} 个不在此文件夹中",
                f"copies from outside: {len(same)} are the same, {rest} are of checkpoints that are not in this folder",
            )

    def is_lost(self, note: CheckpointText) -> bool:
        """Whether a later `start` says itself that the entries behind this checkpoint were lost in a restore."""
        starts = [(at, one) for at, one in self.entries.items() if one["kind"] == "start" and one["event"] == "resume"]
        return any(at < note.size <= (one["previous"] or {}).get("size", 0) for at, one in starts)

    def stamps(self) -> None:
        """Tokens of time-stamping authorities, by OpenSSL."""
        tokens = [(one["note"], name) for one in self.lines("anchors/checkpoints.jsonl") for name in one["tokens"]]
        if tokens and shutil.which("openssl") is None:
            self.report("未找到 openssl，时间戳未核验", "there is no openssl here: time stamps were not checked")
            return
        root = self.tsa_root or str(self.path("anchors/roots.pem"))
        for note, name in tokens:
            at = stamped_at(note.encode(), str(self.path(name)), root)
            self.report(
                f"检查点 {notes_in(note)[0].size} 最迟形成于 {at}", f"it existed at {at}, by an authority's time stamp"
            )
