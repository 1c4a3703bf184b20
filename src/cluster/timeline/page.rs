//! Style and script of the page.

/// For screen and print.
pub(super) const STYLE: &str = r#":root { --ink: #1d2733; --soft: #5b6775; --line: #dfe4ea; --red: #b3261e; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1220px; padding: 28px 30px 60px; color: var(--ink); background: #fff;
  font: 14px/1.5 system-ui, "Segoe UI", "Helvetica Neue", "DejaVu Sans", Arial, sans-serif; }
h1 { margin: 0; font-size: 24px; line-height: 1.25; }
h2 { margin: 30px 0 10px; font-size: 16px; }
.window, .small { color: var(--soft); }
.window { margin: 4px 0 0; }
.small { font-size: 12px; }
section.verdict { margin-top: 22px; padding: 2px 20px 14px; border: 1px solid var(--line); border-left: 5px solid var(--ink); border-radius: 4px; }
section.verdict h2 { margin: 12px 0 4px; font-size: 18px; }
section.verdict p { margin: 4px 0; max-width: 110ch; overflow-wrap: anywhere; }
.members { margin-top: 8px; border-collapse: collapse; }
.members th, .members td { padding: 2px 16px 2px 0; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
.members th, .members td:nth-child(2) { white-space: nowrap; }
.notes ul { margin: 0; padding-left: 20px; }
.picture { overflow-x: auto; border: 1px solid var(--line); border-radius: 4px; padding: 12px 10px 6px; }
.picture > svg { display: block; width: 100%; min-width: 900px; height: auto; }
svg text { font-size: 11px; fill: var(--ink); }
svg .name { font-size: 13px; font-weight: 600; }
svg .time, svg .date { font-size: 10.5px; fill: var(--soft); text-anchor: middle; font-variant-numeric: tabular-nums; }
svg .date { font-weight: 600; }
svg .none { fill: var(--soft); font-style: italic; }
svg .tick { stroke: #eceff3; fill: none; }
svg .lane { stroke: var(--line); fill: none; }
.band rect { stroke: #fff; stroke-width: 1; }
.band.primary rect { fill: #9bd8bd; stroke: #2b8a63; }
.band.nonprimary rect { fill: url(#hatch); stroke: #b86e00; }
.band.starting rect { fill: #dbe9f6; stroke: #6f9cc4; }
.band.recovering rect { fill: url(#dots); stroke: #6f9cc4; }
.band.down rect { fill: #eef0f3; stroke: #a9b2bd; }
.band.nonprimary text { font-weight: 600; paint-order: stroke; stroke: #fbe3b0; stroke-width: 4px; }
.cut rect { fill: #fff; }
.cut path { stroke: #9aa4b0; stroke-dasharray: 3 3; fill: none; }
.cut text { font-size: 10px; fill: var(--soft); text-anchor: middle; }
.sign path, .sign circle { fill: var(--soft); stroke: none; }
.sign.start path { fill: #1f6fb2; }
.sign.stop path { fill: #55606d; }
.sign.crash path { fill: none; stroke: var(--red); stroke-width: 2.6; }
.sign.transfer path { fill: #7a4fb5; }
.sign.order path { fill: #0f766e; }
.sign.verdict circle { fill: #fff; stroke: var(--ink); stroke-width: 2; }
.sign.trouble path { fill: #d97706; }
.sign.view circle { fill: #2b8a63; }
.sign.no-quorum circle { fill: #b86e00; }
a.sign { cursor: pointer; }
a.sign:hover path, a.sign:hover circle, a.sign:focus path { stroke: var(--ink); stroke-width: 2; }
.key { width: 14px; height: 14px; vertical-align: -2px; }
.key.band { width: 22px; height: 12px; vertical-align: -1px; }
.legend { margin: 8px 2px 0; font-size: 12px; color: var(--soft); line-height: 1.9; }
.legend span { margin-right: 16px; white-space: nowrap; }
.legend svg { margin-right: 5px; }
.events { width: 100%; border-collapse: collapse; }
.events th { text-align: left; font-size: 12px; color: var(--soft); padding: 4px 12px 4px 0; }
.events .day th { padding-top: 14px; color: var(--ink); font-size: 13px; }
.events td { padding: 3px 12px 3px 0; border-top: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
.clock { width: 78px; font-variant-numeric: tabular-nums; color: var(--soft); }
td.lane { width: 130px; white-space: nowrap; font-weight: 600; }
.events td:nth-child(3) { width: 26px; }
.events tr.crash td:last-child, .events tr.crash summary { color: var(--red); font-weight: 600; }
.events tr.trouble td:last-child { color: #8a4b00; }
.events tr:target td { background: #fff6db; }
summary { cursor: pointer; list-style-position: outside; margin-left: 14px; }
details pre { margin: 4px 0 8px 14px; padding: 8px 12px; background: #f5f7f9; border-radius: 4px; color: var(--ink); font-weight: 400;
  font: 12px/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
details pre i { color: var(--soft); font-style: normal; }
@media print {
  @page { size: A4 landscape; margin: 12mm; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .picture { overflow: visible; break-inside: avoid; }
  .picture > svg { min-width: 0; }
  .events tr, section.verdict, .legend { break-inside: avoid; }
  thead { display: table-header-group; }
  summary { list-style: none; margin-left: 0; }
  details pre { font-size: 7.5pt; }
}
"#;

/// Only comfort: the page is whole without it.
pub(super) const SCRIPT: &str = r#"// Only comfort: every sign is a link to its row, and every row opens by itself, without this.
(function () {
  function open(hash) {
    var row = hash && document.getElementById(hash.slice(1));
    var more = row && row.querySelector('details');
    if (more) { more.open = true; row.scrollIntoView({ block: 'center' }); }
  }
  addEventListener('hashchange', function () { open(location.hash); });
  open(location.hash);
  var opened = [];
  addEventListener('beforeprint', function () {
    opened = Array.prototype.filter.call(document.querySelectorAll('details'), function (d) { return !d.open; });
    opened.forEach(function (d) { d.open = true; });
  });
  addEventListener('afterprint', function () { opened.forEach(function (d) { d.open = false; }); });
})();
"#;
