/** Tables as spreadsheets save them (RFC 4180): read with their delimiter and encoding found, and written. */

/** @typedef {Record<string, string>} Row */
/** @typedef {{name: string, columns: string[], rows: Row[], delimiter: string, encoding: string}} Table */

const DELIMITERS = [",", ";", "\t", "|"];

/** Whether a file seems to be a table, by its name. @param {File} file */
export const seemsTable = (file) => /\.(csv|tsv)$/i.test(file.name);

/** Read a table whose first line names the columns. Throws RangeError that says what is wrong. @param {File} file @returns {Promise<Table>} */
export async function readTable(file) {
  const { text, encoding } = decoded(new Uint8Array(await file.arrayBuffer()));
  const delimiter = delimiterOf(text.slice(0, text.search(/[\r\n]|$/)));
  const [header = [], ...lines] = cellsOf(text, delimiter).filter((cells) => cells.some((cell) => cell.trim()));
  const places = [...header.keys()].filter((place) => header[place].trim()); // spreadsheets leave empty columns at the end
  const columns = places.map((place) => header[place].trim());
  const twice = columns.find((name, place) => columns.indexOf(name) !== place);
  if (!lines.length) throw new RangeError(`${file.name} has no rows below its first line, which names the columns.`);
  if (twice !== undefined) throw new RangeError(`${file.name} has two columns of the name "${twice}".`);
  const rows = lines.map((cells) => Object.fromEntries(columns.map((name, column) => [name, cells[places[column]] ?? ""])));
  return { name: file.name, columns, rows, delimiter, encoding };
}

/** A table as text, with every column that any of the rows has. @param {Row[]} rows */
export function tableText(rows) {
  const columns = [...new Set(rows.flatMap(Object.keys))];
  const quoted = (/** @type {string} */ cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  return [columns, ...rows.map((row) => columns.map((name) => row[name] ?? ""))].map((cells) => `${cells.map(quoted).join(",")}\r\n`).join("");
}

/** UTF-8, UTF-16 with its mark, or else what older spreadsheets write. @param {Uint8Array} bytes */
function decoded(bytes) {
  const marked = { "255,254": "utf-16le", "254,255": "utf-16be" }[bytes.slice(0, 2).join(",")];
  for (const encoding of [marked, "utf-8"]) {
    try {
      if (encoding) return { text: new TextDecoder(encoding, { fatal: true }).decode(bytes), encoding };
    } catch {
      // The next one.
    }
  }
  return { text: new TextDecoder("windows-1252").decode(bytes), encoding: "windows-1252" };
}

/** The delimiter that the first line has most of. @param {string} header */
function delimiterOf(header) {
  const counts = DELIMITERS.map((delimiter) => header.split(delimiter).length);
  return DELIMITERS[counts.indexOf(Math.max(...counts))];
}

/** @param {string} text @param {string} delimiter @returns {string[][]} */
function cellsOf(text, delimiter) {
  const escaped = delimiter === "|" ? "\\|" : delimiter;
  // A cell, quoted or not, and what ends it.
  const cell = new RegExp(`(?:"([^"]*(?:""[^"]*)*)"|((?!")[^${escaped}\\r\\n]*))(${escaped}|\\r\\n|\\r|\\n|$)`, "gy");
  /** @type {string[][]} */
  const rows = [[]];
  for (let found = cell.exec(text); found; found = cell.exec(text)) {
    const [, quoted, plain, end] = found;
    rows[rows.length - 1].push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === "") return rows;
    if (end !== delimiter) rows.push([]);
  }
  throw new RangeError(`Row ${rows.length} is broken: a quotation mark opens in the middle of a cell, or is never closed.`);
}
