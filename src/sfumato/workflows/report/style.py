"""The look of a report page: one style sheet, light and dark, no font from elsewhere.

Knows nothing of what the page says. Start reading at `STYLE`.
"""

STYLE = """
:root { color-scheme: light dark; --ink: #22201d; --soft: #6f6a62; --paper: #f7f5f1; --card: #fffdf9; --line: #e3ded5;
  --mark: #a4552f; }
@media (prefers-color-scheme: dark) { :root { --ink: #ece7de; --soft: #a09a8f; --paper: #181715; --card: #211f1c;
  --line: #37332e; --mark: #e08a5b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 20px 60px; }
h1 { font: 600 30px/1.25 Georgia, "Times New Roman", serif; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font: 600 20px/1.3 Georgia, "Times New Roman", serif; margin: 48px 0 14px; }
h3 { font-size: 15px; font-weight: 600; margin: 26px 0 10px; color: var(--soft); }
.negative, .note, figcaption, footer { color: var(--soft); font-size: 14px; overflow-wrap: anywhere; }
figure { margin: 0; }
figcaption { margin-top: 6px; }
img { display: block; width: 100%; height: auto; border-radius: 6px; background: var(--line); }
.hero { margin-top: 22px; }
.hero img { width: auto; max-width: 100%; margin: 0 auto; box-shadow: 0 6px 30px rgb(0 0 0 / .18); }
.hero figcaption { text-align: center; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 1px; margin: 28px 0 0;
  background: var(--line); border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.facts div { background: var(--card); padding: 12px 14px; }
dt { color: var(--soft); font-size: 13px; }
dd { margin: 2px 0 0; font-size: 18px; font-variant-numeric: tabular-nums; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 18px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; background: var(--card); border: 1px solid var(--line);
  font-size: 15px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 8px 12px; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; }
thead th { color: var(--soft); font-size: 13px; font-weight: 600; }
tr:last-child > * { border-bottom: 0; }
.settings th { width: 22%; color: var(--soft); font-weight: 500; }
.bar { width: 22%; }
.bar i { display: block; height: 9px; min-width: 2px; margin-top: 7px; background: var(--mark); border-radius: 3px; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 12px 14px; overflow-x: auto;
  font: 14px/1.5 ui-monospace, Menlo, Consolas, monospace; }
footer { margin-top: 56px; }
@media (max-width: 640px) { .pair { grid-template-columns: 1fr; } }
"""
