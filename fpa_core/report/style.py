"""The style sheet of a report, for light and dark mode, wide screens, phones and paper."""

from fpa_core.report.markup import Html

__all__ = ["STYLE"]

_LIGHT = """
  --page: #ffffff; --ink: #16191d; --soft: #5b6470; --line: #dfe3e8; --wash: #f5f7f9;
  --error: #b3261e; --error-wash: #fbe9e7; --warning: #9a5b00; --warning-bar: #d98a00; --warning-wash: #fdf1dc;
  --info: #2f5fa8; --info-bar: #5b8bd0; --info-wash: #e6eef9; --good: #1d6b3a; --good-wash: #e3f3e8; --rows: #aab4c0; --mark: #fde08a;
  --price: #3b6ea8; --price-wash: #c9daee; --gap: #e6e3f3;
"""

_DARK = """
  --page: #14171a; --ink: #e8eaed; --soft: #9aa4b0; --line: #2c3238; --wash: #1c2126;
  --error: #ff8a80; --error-wash: #3d1d1b; --warning: #f5b74f; --warning-bar: #d99a2b; --warning-wash: #392a10;
  --info: #8fb8f2; --info-bar: #5b8bd0; --info-wash: #1b2a40; --good: #7fd39b; --good-wash: #17301f; --rows: #5a6673; --mark: #6b5310;
  --price: #8fb8f2; --price-wash: #2c4466; --gap: #2b2942;
"""

STYLE = Html(
    f""":root {{ color-scheme: light dark; {_LIGHT} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
* {{ box-sizing: border-box; }}
body {{
  margin: 0; background: var(--page); color: var(--ink); line-height: 1.5; font-size: 15px;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "Liberation Sans", sans-serif;
  font-variant-numeric: tabular-nums; -webkit-text-size-adjust: 100%;
}}
main {{ max-width: 1080px; margin: 0 auto; padding: 32px 24px 64px; }}
h1, h2, h3, p, figure, dl, dd, ol, ul {{ margin: 0; padding: 0; }}
h1 {{ font-size: 26px; line-height: 1.25; letter-spacing: -0.01em; overflow-wrap: anywhere; }}
h2 {{ font-size: 18px; line-height: 1.3; margin: 0 0 4px; }}
h3 {{ font-size: 14px; font-weight: 600; }}
small {{ font-size: 13px; font-weight: 400; color: var(--soft); }}
a {{ color: var(--info); }}
section {{ margin-top: 44px; }}
.lead {{ color: var(--soft); margin-bottom: 16px; max-width: 70ch; }}
.eyebrow {{ color: var(--soft); font-size: 13px; margin-bottom: 4px; }}
article + article {{ margin-top: 64px; padding-top: 48px; border-top: 3px solid var(--line); }}
nav ul {{ list-style: none; margin-top: 16px; }}
nav li {{ padding: 6px 0; border-top: 1px solid var(--line); display: flex; gap: 12px; flex-wrap: wrap; overflow-wrap: anywhere; }}

.badge {{ display: inline-block; padding: 2px 10px; border-radius: 999px; font-size: 13px; font-weight: 600; white-space: nowrap; }}
.badge.error {{ color: var(--error); background: var(--error-wash); }}
.badge.warning {{ color: var(--warning); background: var(--warning-wash); }}
.badge.info {{ color: var(--info); background: var(--info-wash); }}
.badge.good {{ color: var(--good); background: var(--good-wash); }}

.verdict {{ display: flex; flex-wrap: wrap; gap: 8px 12px; align-items: center; margin-top: 12px; }}
.facts {{ display: flex; flex-wrap: wrap; gap: 4px 24px; margin-top: 12px; color: var(--soft); font-size: 14px; }}
.facts div {{ display: flex; gap: 6px; flex-wrap: wrap; }}
.facts dd {{ color: var(--ink); }}
.contents {{ display: flex; flex-wrap: wrap; gap: 4px 20px; margin-top: 20px; font-size: 14px; }}
.contents a {{ text-decoration: none; }} .contents a:hover {{ text-decoration: underline; }}
.totals {{ display: grid; grid-template-columns: repeat(5, 1fr); margin-top: 28px; border: 1px solid var(--line); border-radius: 10px; overflow: hidden; }}
.totals div {{ padding: 14px 18px; border-left: 1px solid var(--line); }}
.totals div:first-child {{ border-left: 0; }}
.totals dt {{ color: var(--soft); font-size: 13px; }}
.totals dd {{ font-size: 26px; font-weight: 650; line-height: 1.25; letter-spacing: -0.01em; }}
.totals dd.error {{ color: var(--error); }} .totals dd.warning {{ color: var(--warning); }}
.totals span {{ color: var(--soft); font-size: 13px; }}

.scroll {{ overflow-x: auto; margin-top: 12px; }}
table {{ border-collapse: collapse; width: 100%; font-size: 14px; }}
th, td {{ text-align: left; vertical-align: top; padding: 7px 16px 7px 0; border-bottom: 1px solid var(--line); }}
th:last-child, td:last-child {{ padding-right: 0; }}
th {{ color: var(--soft); font-weight: 500; font-size: 13px; white-space: nowrap; vertical-align: bottom; }}
th.n, td.n {{ text-align: right; white-space: nowrap; }}
.n + :not(.n) {{ padding-left: 14px; }}
td.fixed {{ white-space: nowrap; }}
td.wide {{ overflow-wrap: anywhere; }}
td.frequent {{ min-width: 240px; }}
td p {{ color: var(--soft); font-size: 13px; max-width: 64ch; }}
td p.first {{ color: var(--ink); font-size: 14px; }}
td a {{ text-decoration: none; }} td a:hover {{ text-decoration: underline; }}
code {{ font-family: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; font-size: 0.92em; }}
mark {{ background: var(--mark); color: inherit; border-radius: 3px; padding: 1px 4px; margin: 0 -4px; font-weight: 600; }}
.missing {{ color: var(--soft); }}
.none {{ margin-top: 14px; color: var(--soft); font-size: 14px; }}
.example {{ margin-top: 28px; break-inside: avoid; }}
.example h3 {{ display: flex; gap: 10px; align-items: center; flex-wrap: wrap; }}
.found th, .found td {{ padding-right: 12px; }} .found td {{ border-bottom: 0; padding-bottom: 0; }}
.found .note td {{ border-bottom: 1px solid var(--line); padding: 2px 0 8px; }}
.found .said {{ position: sticky; left: 0; width: fit-content; max-width: min(100%, calc(100vw - 48px), 120ch); color: var(--soft); font-size: 13px; }}
.download {{ font-size: 13px; font-weight: 400; }}
.between td {{ color: var(--soft); }}
details {{ margin-top: 12px; }}
summary {{ cursor: pointer; color: var(--info); font-size: 14px; width: fit-content; }}
.provenance {{ font-size: 14px; display: grid; gap: 4px; margin-top: 10px; }}
.provenance div {{ display: grid; grid-template-columns: 120px minmax(0, 1fr); gap: 12px; }}
.provenance dt {{ color: var(--soft); }} .provenance dd {{ overflow-wrap: anywhere; }}
.parameters div {{ overflow-wrap: anywhere; }}

.chart {{ margin-top: 12px; }}
.chart .row {{ display: grid; grid-template-columns: 56px minmax(0, 1fr); gap: 8px; }}
.chart h3 {{ margin: 14px 0 4px; padding-left: 64px; display: flex; justify-content: space-between; gap: 12px; }}
.gutter {{ color: var(--soft); font-size: 11px; text-align: right; line-height: 1; }}
.scale {{ display: flex; flex-direction: column; justify-content: space-between; height: 56px; }}
.plot {{ display: block; width: 100%; overflow: visible; fill: var(--rows); }}
.plot.error {{ fill: var(--error); }} .plot.warning {{ fill: var(--warning-bar); }} .plot.info {{ fill: var(--info-bar); }}
.plot .grid {{ stroke: var(--line); }} .plot .base {{ stroke: var(--soft); }}
.plot text {{ fill: var(--ink); font-size: 12px; }} .plot text.below {{ fill: var(--soft); }}
.plot text.tick {{ fill: var(--soft); font-size: 11px; }}
.plot .price {{ fill: var(--price-wash); stroke: var(--price); stroke-width: 1.25; stroke-linejoin: round; overflow: visible; }}
.plot .gap {{ fill: var(--gap); }}
.plot rect.error {{ fill: var(--error); }} .plot rect.warning {{ fill: var(--warning-bar); }}
.plot circle {{ fill: var(--page); stroke-width: 2; }}
.plot circle.error {{ stroke: var(--error); }} .plot circle.warning {{ stroke: var(--warning-bar); }}
.prices + .prices {{ margin-top: 24px; }}
.chart.prices .row {{ grid-template-columns: 64px minmax(0, 1fr); }}
.chart.prices h3 {{ padding-left: 72px; margin-bottom: 8px; }}
.chart.prices figcaption {{ padding-left: 72px; margin-top: 0; }}
.histograms {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(180px, 1fr)); gap: 20px 28px; margin: 4px 0 20px; }}
.histogram {{ break-inside: avoid; }}
.histogram h3 {{ margin-bottom: 6px; font-weight: 400; }}
.histogram .outer {{ fill-opacity: 0.5; }}
.range {{ display: flex; justify-content: space-between; color: var(--soft); font-size: 12px; }}
figcaption {{ color: var(--soft); font-size: 13px; margin-top: 8px; }}
.timeline .row {{ grid-template-columns: 190px minmax(0, 1fr); gap: 12px; margin-top: 6px; align-items: center; }}
.timeline .axis {{ align-items: start; margin-top: 4px; }}
.series {{ font-size: 13px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }}
.strip {{ background: var(--wash); border-radius: 2px; fill: var(--info-bar); }}
.shade1 {{ fill-opacity: 0.35; }} .shade2 {{ fill-opacity: 0.65; }} .shade3 {{ fill-opacity: 1; }}
.bar {{ display: block; width: 72px; height: 6px; margin: 8px 0 0 auto; background: var(--wash); fill: var(--rows); border-radius: 3px; }}
.bar.error {{ fill: var(--error); }} .bar.warning {{ fill: var(--warning-bar); }} .bar.info {{ fill: var(--info-bar); }}
footer {{ margin-top: 56px; padding-top: 16px; border-top: 1px solid var(--line); color: var(--soft); font-size: 13px; }}

@media (max-width: 640px) {{
  main {{ padding: 20px 16px 48px; }}
  h1 {{ font-size: 21px; }}
  section {{ margin-top: 36px; }}
  .contents {{ gap: 8px 16px; }}
  .totals {{ grid-template-columns: 1fr 1fr; margin-top: 20px; }}
  .totals div {{ padding: 10px 14px; }}
  .totals div:nth-child(even) {{ border-left: 0; }}
  .totals div:first-child {{ grid-column: 1 / -1; }}
  .totals div:nth-child(n + 2) {{ border-top: 1px solid var(--line); }}
  .totals dd {{ font-size: 21px; }}
  .chart .row {{ grid-template-columns: 40px minmax(0, 1fr); gap: 6px; }}
  .chart h3 {{ padding-left: 46px; }}
  .chart.prices .row {{ grid-template-columns: 50px minmax(0, 1fr); gap: 6px; }}
  .chart.prices h3, .chart.prices figcaption {{ padding-left: 56px; }}
  .histograms {{ grid-template-columns: 1fr 1fr; gap: 16px; }}
  .provenance div {{ grid-template-columns: 96px minmax(0, 1fr); }}
  .timeline .row {{ grid-template-columns: minmax(0, 1fr); gap: 2px; }}
  .plot text.minor {{ display: none; }}
  .stack thead {{ display: none; }}
  .stack tr {{ display: flex; flex-wrap: wrap; align-items: baseline; gap: 2px 16px; padding: 10px 0; border-bottom: 1px solid var(--line); }}
  .stack td {{ display: block; border: 0; padding: 0; }}
  .stack td.full {{ flex-basis: 100%; }}
  .stack td[data-label]::before {{ content: attr(data-label) " "; color: var(--soft); font-size: 13px; }}
  .stack td.n + td, .stack td.full {{ padding-left: 0; }}
  .parameters td {{ font-size: 13px; }}
  .gaps .stack tr {{ padding: 6px 0; }} .gaps .stack td.full {{ font-size: 13px; color: var(--soft); white-space: normal; }}
  .stack .bar {{ display: none; }}
  .pinned th:first-child, .pinned td:first-child {{ position: sticky; left: 0; background: var(--page); padding-right: 12px; }}
}}
@media print {{
  :root {{ color-scheme: light; {_LIGHT} }}
  * {{ -webkit-print-color-adjust: exact; print-color-adjust: exact; }}
  body {{ font-size: 11px; line-height: 1.4; }}
  main {{ max-width: none; padding: 0; }}
  h1 {{ font-size: 20px; }} h2 {{ font-size: 14px; }} h3 {{ font-size: 11px; }}
  section {{ margin-top: 22px; }}
  article + article {{ break-before: page; border: 0; margin: 0; padding: 0; }}
  h2, h3, .lead, thead {{ break-after: avoid; }}
  .found tbody {{ break-inside: avoid; }}
  tr, .chart .row, .example, .timeline {{ break-inside: avoid; }}
  .scroll {{ overflow: visible; }}
  table {{ font-size: 10px; }} th, td {{ padding: 3px 10px 3px 0; }}
  th, small, td p, .none, .facts, .badge, .eyebrow, .totals dt, .totals span, .example .said, figcaption, footer {{ font-size: 10px; }}
  .lead {{ margin-bottom: 6px; max-width: none; }}
  .totals {{ margin-top: 14px; }} .totals div {{ padding: 8px 12px; }} .totals dd {{ font-size: 17px; }}
  footer {{ margin-top: 20px; padding-top: 8px; }} .plot text, .series, .gutter {{ font-size: 10px; }}
  .contents, .download, summary {{ display: none; }}
  .provenance, td p.first, .range, .found .said {{ font-size: 10px; }} .histograms {{ gap: 8px 16px; }}
  .example {{ margin-top: 14px; }} .scroll, .chart {{ margin-top: 4px; }} .bar {{ margin-top: 4px; }}
}}
@page {{ margin: 16mm 14mm; }}
"""
)
