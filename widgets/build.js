// Bundles the widgets, each into one file that needs nothing else: `node build.js [folder]`.
import { build } from "esbuild";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const outdir = process.argv[2] ?? fileURLToPath(new URL("../wfkernel/static", import.meta.url));

const options = {
  absWorkingDir: here,
  outdir,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
};

await build({ ...options, entryPoints: { run_card: "src/index.js", dashboard: "src/dashboard_index.js" }, loader: { ".css": "text" } });
// The pages of `wfkernel serve`: their policy wants styles in a file.
await build({ ...options, entryPoints: { web: "src/web.js" } });
await build({ ...options, entryPoints: { web: "src/web.css" } });
