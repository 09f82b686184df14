"""What people and their programs say, and what must be found in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from archiver import search
from archiver.store import apps, pages, windows
from archiver.store.engine import Store
from archiver.store.read.filters import Filter
from tests.fixtures.databases import Database
from tests.fixtures.store import ORIGIN, claimed, open_database, page_of

OVERLAP = "订单" * 3990 + "跨越边界的退换货说明" + "尾" * 12_000 + "最后的话"


def said(number: int, *bodies: Any, **more: Any) -> str:
    """The record of one message; a text is a body of type txt."""
    elements = [{"type": "txt", "msg": body} if isinstance(body, str) else body for body in bodies]
    whole = {
        "msg_id": str(number),
        "timestamp": ORIGIN + number,
        "from": "ann",
        "to": "bob",
        "chat_type": "chat",
        "payload": {"bodies": elements},
        **more,
    }
    return json.dumps(whole)


RECORDS = [
    said(1, "我要退款,请尽快处理"),
    said(2, "退货和换货的政策是什么?"),
    said(3, "款项已退回您的支付宝账户"),
    said(4, "Please REFUND my order #A-1029, it cost $35.50"),
    said(5, "Refund 已提交，订单号 20261101"),
    said(6, "ＲＥＦＵＮＤ　ｆｕｌｌ　ｗｉｄｔｈ"),
    said(7, "👍🏽 好的👌"),
    said(8, "家人 👨\u200d👩\u200d👧 合影"),
    said(9, "藏\0在\u200b空\u2060字\ufeff里的退\0款"),
    said(10, "\u202e密码\u202c是退\ud800款"),
    said(11, {"type": "file", "filename": "2026年合同(终版).pdf", "url": "https://h/x", "secret": "SeCrEt99"}),
    said(12, {"type": "loc", "lat": 39.9, "lng": 116.4, "addr": "北京市海淀区中关村大街1号"}),
    said(13, {"type": "custom", "customEvent": "red_packet", "customExts": [{"amount": "88.88", "wish": "恭喜发财"}]}),
    said(14, {"type": "cmd", "action": "撤回消息"}),
    said(15, {"type": "txt", "msg": {"wrong": ["藏在类型里的回扣"]}}),
    said(16, ["不是对象的回扣", {"secret": "内层秘密"}]),
    said(17, {"type": "txt", "msg": "看图", "secret": {"a": "错型密钥"}}, "第二段:发票号码"),
    said(18, {"type": "txt", "subType": "sub_combine", "title": "群聊的聊天记录", "summary": "小王:转账吧"}),
    said(19, "Straße und ÉCOLE, naïve façade"),
    said(20, "ﬁnal oﬃce ①②③ ㎏"),
    said(21, "привет МИР"),
    said(22, "こんにちは、カタカナﾊﾝｶｸ"),
    said(23, "한국어 메시지"),
    said(24, "a.b@example.com 或 +86 138-0013-8000"),
    said(25, "100% 'quoted' \"double\" back\\slash _under_ AND OR NOT (x*) [y] {z} a:b"),
    said(26, "第一行\n第二行\t\t制表"),
    said(27, "好"),
    said(28, ""),
    said(29, OVERLAP),
    said(30, "𠮷野家 𠀀𠀁"),
    said(31, "⽀付⼈民币"),
    said(32, "退  款 之间有空格"),
    said(33, {"type": "img", "filename": "IMG_0001.JPG", "url": "https://h/y", "thumb_secret": "ThUmB77"}),
    said(34, "一模一样的话"),
    said(35, "一模一样的话"),
    said(36, {"type": "custom", "customEvent": "x", "customExts": {"secret": "参数里的秘密", "note": "旁边的备注"}}),
]

REVISED = said(34, "改成了别的内容:返利")
BROKEN = said(37, "当时读不懂的贿赂").replace(str(ORIGIN + 37), '"later"')

QUERIES: list[tuple[str, list[int]]] = [
    # two characters, as most Chinese words have
    ("退款", [1, 9, 10]),
    ("退货", [2]),
    ("换货", [2, 29]),
    ("款项", [3]),
    ("支付", [3, 31]),
    ("订单", [5, 29]),
    ("合同", [11]),
    ("回扣", [15, 16]),
    ("转账", [18]),
    ("返利", [34]),
    ("您的", [3]),
    ("货款", []),
    ("款退", []),
    # one
    ("退", [1, 2, 3, 9, 10, 29, 32]),
    ("款", [1, 3, 9, 10, 32]),
    ("好", [7, 27]),
    ("号", [5, 12, 17]),
    ("乙", []),
    ("①", [4, 5, 12, 20, 24, 25, 33]),
    ("𠮷", [30]),
    ("?", [2]),
    # three and more, phrases
    ("支付宝", [3]),
    ("退换货", [29]),
    ("海淀区中关村", [12]),
    ("我要退款,请尽快处理", [1]),
    ("我要退款请", []),
    ("一模一样的话", [34, 35]),
    ("跨越边界的退换货说明", [29]),
    ("最后的话", [29]),
    ("尾最后", [29]),
    ("恭喜发财", [13]),
    ("撤回消息", [14]),
    ("聊天记录", [18]),
    ("第二行 制表", [26]),
    ("第一行\n第二行", [26]),
    ("发票号码", [17]),
    ("旁边的备注", [36]),
    # Latin, other scripts, case, width
    ("refund", [4, 5, 6]),
    ("REFUND", [4, 5, 6]),
    ("ｒｅｆｕｎｄ", [4, 5, 6]),
    ("full width", [6]),
    ("fund", [4, 5, 6]),
    ("my order", [4]),
    ("strasse", [19]),
    ("école", [19]),
    ("ecole", []),
    ("final office", [20]),
    ("123 kg", [20]),
    ("ПРИВЕТ мир", [21]),
    ("カタカナハンカク", [22]),
    ("메시", [23]),
    ("red_packet", [13]),
    ("img_0001.jpg", [33]),
    # numbers, signs
    ("20261101", [5]),
    ("#A-1029", [4]),
    ("35.50", [4]),
    ("88.88", [13]),
    ("138-0013", [24]),
    ("a.b@example.com", [24]),
    ("100%", [25]),
    ("'quoted' \"double\"", [25]),
    ("back\\slash", [25]),
    ("_under_", [25]),
    ("AND OR NOT (x*)", [25]),
    ("(x*) [y] {z} a:b", [25]),
    ("a:b", [25]),
    ("x* ", [25]),
    ("%", [25]),
    # emoji
    ("👍", [7]),
    ("👍🏽", [7]),
    ("👌", [7]),
    ("👨\u200d👩\u200d👧", [8]),
    ("👩", [8]),
    ("𠀀𠀁", [30]),
    # mixed
    ("Refund 已提交", [5]),
    ("2026年合同(终版).pdf", [11]),
    ("🏽 好的", [7]),
    # tricks, on either side
    ("退\u200b款", [1, 9, 10]),
    ("退\0款", [1, 9, 10]),
    ("藏在空字里的退款", [9]),
    ("密码是退款", [10]),
    ("人民币", [31]),
    ("退 款", [32]),
    ("退\u3000款", [32]),
    # nobody may look for the keys of files
    ("SeCrEt99", []),
    ("ThUmB77", []),
    ("内层秘密", []),
    ("错型密钥", []),
    ("参数里的秘密", []),
]


@contextmanager
def filled(database: Database, records: Sequence[str] = RECORDS) -> Iterator[Store]:
    """An archive of these records, ten a page, with a revision and something in quarantine."""
    store = open_database(database)
    with store.write() as tx:
        key = apps.register(tx, "o#a", "cursor", ORIGIN, settle_ms=120_000, retention_ms=None)
    claim = claimed(store, key)
    for at in range(0, len(records), 10):
        with store.write() as tx:
            pages.insert(windows.hold(tx, claim), [page_of(*records[at : at + 10])], ORIGIN + 10)
    with store.write() as tx:
        pages.insert(windows.hold(tx, claim), [page_of(REVISED, BROKEN)], ORIGIN + 10)
    yield store
    store.dispose()


def found(store: Store, query: str, wanted: Filter | None = None, most: int | None = None) -> list[int]:
    """The numbers of the messages that a search gives, without those of other spellings of one."""
    hits = search.find(store, query, wanted or Filter(), most)
    return sorted({int(hit.msg_id) for hit in hits})


def index(store: Store) -> int:
    return search.index(store)
