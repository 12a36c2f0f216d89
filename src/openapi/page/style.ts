/** The style of the page: light and dark, for screens of every width. */
export const STYLE = `
:root { color-scheme: light dark; --text: #1b2430; --soft: #586474; --line: #dfe4ea; --back: #ffffff; --panel: #f5f7fa;
  --link: #0b5cad; --good: #11703f; --go: #0b5cad; --bad: #a3421c; --worse: #a51d2d; --code: #eef1f5; }
@media (prefers-color-scheme: dark) { :root { --text: #e3e8ee; --soft: #9aa7b6; --line: #2c3540; --back: #12171d;
  --panel: #1a2129; --link: #7cb8f5; --good: #62cf94; --go: #7cb8f5; --bad: #f0a173; --worse: #f58a94; --code: #222b35; } }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0; font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
  color: var(--text); background: var(--back); }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; font-size: 0.86em; }
a { color: var(--link); text-underline-offset: 0.15em; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 3px; }
.skip { position: absolute; left: -99em; } .skip:focus { left: 1rem; top: 1rem; background: var(--back); padding: 0.5rem; }
.layout { display: grid; grid-template-columns: 13.5rem minmax(0, 1fr); max-width: 76rem; margin: 0 auto; }
nav { position: sticky; top: 0; align-self: start; max-height: 100vh; overflow: auto; padding: 2.2rem 1.2rem; font-size: 0.92rem; }
nav ul { list-style: none; margin: 0.7rem 0 1.2rem; padding: 0; border-left: 2px solid var(--line); }
nav li a { display: block; padding: 0.16rem 0.8rem; text-decoration: none; color: var(--soft); overflow-wrap: anywhere; }
nav li a:hover { color: var(--link); }
main { padding: 1.6rem 2rem 4rem; border-left: 1px solid var(--line); min-width: 0; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0.4rem 0 0.6rem; overflow-wrap: anywhere; }
.version { font-size: 0.9rem; font-weight: 500; color: var(--soft); border: 1px solid var(--line); border-radius: 1em;
  padding: 0.15em 0.7em; vertical-align: middle; white-space: nowrap; }
.lead { font-size: 1.06rem; color: var(--soft); max-width: 44rem; margin-top: 0; }
h2 { font-size: 1.5rem; margin: 3.2rem 0 0.8rem; padding-top: 1.4rem; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
h3 { font-size: 1.1rem; margin: 2rem 0 0.5rem; } h4 { font-size: 0.9rem; margin: 1.1rem 0 0.3rem; color: var(--soft); }
p { margin: 0.5rem 0; max-width: 46rem; }
pre { margin: 0.3rem 0; padding: 0.8rem 1rem; background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.5; tab-size: 2; }
figure { margin: 0.6rem 0; } figcaption { font-size: 0.9rem; color: var(--soft); }
.steps { padding-left: 1.5rem; } .steps li::marker { color: var(--soft); font-size: 0.9rem; }
.wide { overflow-x: auto; margin: 0.5rem 0 1rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.92rem; }
th { text-align: left; font-weight: 600; font-size: 0.8rem; color: var(--soft); }
th, td { padding: 0.45rem 0.8rem 0.45rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td:first-child { white-space: nowrap; }
tr:target { background: var(--code); }
.schema td:first-child code { font-weight: 600; } .schema td:nth-child(2) { min-width: 7rem; max-width: 16rem; }
.depth-1 { padding-left: 1.3rem; } .depth-2 { padding-left: 2.6rem; } .depth-3 { padding-left: 3.9rem; }
.depth-4 { padding-left: 5.2rem; } .depth-5, .depth-6, .depth-7 { padding-left: 6.5rem; }
.optional { color: var(--soft); font-size: 0.8rem; }
.limit { color: var(--soft); font-size: 0.84rem; white-space: nowrap; } .limit + .limit::before { content: "· "; }
.flow { list-style: none; display: grid; grid-template-columns: repeat(auto-fit, minmax(11.5rem, 1fr)); gap: 0.6rem 1.7rem;
  padding: 0; margin: 1.2rem 0 1.6rem; counter-reset: step; }
.flow li { position: relative; background: var(--panel); border: 1px solid var(--line); border-radius: 10px; padding: 0.8rem 0.9rem;
  display: flex; flex-direction: column; gap: 0.25rem; }
.flow li:not(:last-child)::after { content: "→"; position: absolute; right: -1.36rem; top: 50%; transform: translateY(-50%); color: var(--soft); }
.flow .request { overflow-wrap: anywhere; } .flow .answer { font-weight: 650; color: var(--good); }
.flow .note { font-size: 0.86rem; color: var(--soft); line-height: 1.4; }
.operation { border: 1px solid var(--line); border-radius: 8px; margin: 0.55rem 0; }
.operation summary { cursor: pointer; padding: 0.6rem 0.9rem; display: flex; flex-wrap: wrap; gap: 0.2rem 0.7rem; align-items: baseline; }
.operation > summary::after { content: "▸"; margin-left: auto; color: var(--soft); } .operation[open] > summary::after { content: "▾"; }
.operation summary:hover { background: var(--panel); } .operation[open] > summary { border-bottom: 1px solid var(--line); }
.operation .inside { padding: 0.4rem 0.9rem 0.8rem; }
.method { font: 700 0.74rem/1 ui-monospace, Menlo, Consolas, "Liberation Mono", monospace; width: 3.6rem; color: var(--good); }
.method.post { color: var(--go); } .method.delete { color: var(--bad); }
.path { overflow-wrap: anywhere; } .what { color: var(--soft); font-size: 0.9rem; }
.status { font-weight: 650; font-variant-numeric: tabular-nums; color: var(--soft); }
.s2 { color: var(--good); } .s3 { color: var(--go); } .s4 { color: var(--bad); } .s5 { color: var(--worse); }
.answers td:nth-child(3) { width: 30%; font-size: 0.86rem; } .header { white-space: nowrap; }
.body { margin-top: 0.3rem; font-size: 0.86rem; line-height: 1.75; } .media { color: var(--soft); }
a.code { font-family: ui-monospace, Menlo, Consolas, "Liberation Mono", monospace; font-size: 0.8rem; background: var(--code);
  border-radius: 4px; padding: 0.1em 0.4em; text-decoration: none; white-space: nowrap; }
footer { margin-top: 3rem; color: var(--soft); font-size: 0.9rem; }
@media (max-width: 56rem) {
  .layout { display: block; } nav { position: static; max-height: none; padding: 1rem 1.1rem 0; }
  nav ul { display: flex; flex-wrap: wrap; border: 0; margin: 0.3rem 0; } nav li a { padding: 0.1rem 0.9rem 0.1rem 0; }
  main { border: 0; padding: 0.6rem 1.1rem 3rem; } h1 { font-size: 1.6rem; }
  .flow { grid-template-columns: 1fr; gap: 1.5rem; } .flow li:not(:last-child)::after { content: "↓"; right: auto; left: 50%; top: auto; bottom: -1.45rem; transform: none; }
  td:first-child { white-space: normal; overflow-wrap: anywhere; }
  table, tbody, tr, td { display: block; } thead { display: none; } .answers td:nth-child(3) { width: auto; }
  td { border: 0; padding-top: 0.1rem; padding-bottom: 0.1rem; } td:empty { display: none; } tr { border-bottom: 1px solid var(--line); padding: 0.45rem 0; }
  .schema td:nth-child(2) { min-width: 0; max-width: none; } .schema tr { display: flex; flex-wrap: wrap; align-items: baseline; } .schema td { flex: none; max-width: 100%; }
}
@media print { nav { display: none; } .layout { display: block; } }
`
