"""What the made-up people of the stand-in application talk about."""

from __future__ import annotations

NAMES = (
    "xiaolin", "ahua", "lao_wang", "mingyue", "qingfeng", "doudou", "tangtang", "xingchen", "beibei", "guoguo",
    "nora", "felix", "maya", "oscar", "luna", "theo", "iris", "hugo", "ada", "emil",
    "shop.service", "driver_0731", "user-1024", "courier88", "clinic_desk", "Teacher_Lu", "buyer.20451",
    "seller_007",
)  # fmt: skip
GROUPS = ("1402541206787", "1436765884001", "242398216798208", "266172814934016")
ROOMS = ("259281143414784",)
CHATTER = (
    "你好，在吗？", "在的，请说", "收到，谢谢！", "好的👌", "明天{hour}点{place}见", "路上堵车，晚到{n}分钟🚗",
    "包裹到了吗？单号尾号{n}",
    "周末一起去{place}吧～", "价格能便宜{n}块吗？", "已付款，请尽快发货", "哈哈哈哈😂😂", "生日快乐🎂🎉",
    "这个方案我看过了，第{n}条需要改一下",
    "今天的作业是第{n}页到第{hour}页", "医生说{hour}点以后可以来取报告", "下雨了☔，记得带伞", "辛苦了🙏",
    "会议改到{hour}:30，地点：{place}",
    "“引号”、《书名》——还有省略号……", "𠮷野家的牛丼好吃", "嗯嗯", "1️⃣ 先登录 2️⃣ 再点设置\n3️⃣ 保存",
    "Hi, are you there?", "Sure, see you at {hour}!", "The parcel {n} has arrived 📦",
    "Running {n} minutes late, sorry",
    "lol 😂", "Can you send me the \"final\" version?", "Meeting moved to {place}", "Thanks a lot 🙏🏽", "OK",
    "https://example.com/orders/{n}?ref=chat&lang=zh", "C:\\temp\\report-{n}.txt",
    "👨‍👩‍👧‍👦 family photo from {place}",
    "Line one\nLine two\ttabbed", "<b>not html</b> & co.", "100% sure, 50/50 otherwise",
    "مرحبا, שלום, привет, こんにちは",
)  # fmt: skip
PLACES = (
    "海边的咖啡馆", "东门", "三号会议室", "图书馆", "老地方", "the station", "Gate B", "the old bridge",
    "room 3", "人民公园",
)  # fmt: skip
PHOTOS = ("1.png", "IMG_{n}.jpg", "截图{n}.png", "微信图片_{n}.jpeg", "photo.webp")
PAPERS = ("报价单{n}.xlsx", "合同 (终稿).pdf", "notes-{n}.txt", "slides.pptx", "清单.docx", "archive.tar.gz")
