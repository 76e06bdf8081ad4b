// The files people have: npy (format 1 to 3) and CSV, in and out.

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];

/** What is wrong with a file, for people. */
export class FileProblem extends Error {}

const SAVE = "Write it with numpy.save, or as CSV.";
const KINDS = [
  [[0x50, 0x4b], "a zip archive, as numpy.savez writes it; save each array alone"],
  [[0x89, 0x48, 0x44, 0x46], "an HDF5 or NetCDF-4 file; save each array as npy"],
  [[0x43, 0x44, 0x46], "a NetCDF-3 (classic) file; save each array as npy"],
];

/** Refuse what is neither npy nor text, and say what it is. */
function requireText(bytes) {
  for (const [start, kind] of KINDS) {
    if (start.every((byte, i) => bytes[i] === byte)) throw new FileProblem(`This is ${kind}.`);
  }
  if (bytes.subarray(0, 4096).includes(0)) throw new FileProblem(`This is neither npy nor CSV. ${SAVE}`);
}

/** Shape and type of an npy file, from its head alone. */
export function readHead(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 12 || MAGIC.some((byte, i) => bytes[i] !== byte)) {
    throw new FileProblem(`This is not an npy file. ${SAVE}`);
  }
  const [start, length] = bytes[6] === 1 ? [10, view.getUint16(8, true)] : [12, view.getUint32(8, true)];
  const text = new TextDecoder("latin1").decode(bytes.subarray(start, start + length));
  const shape = /'shape':\s*\(([\d\s,]*)\)/.exec(text);
  const descr = /'descr':\s*'([^']+)'/.exec(text);
  if (!shape || !descr) throw new FileProblem(`The head of this npy file cannot be read. ${SAVE}`);
  return {
    shape: shape[1].split(",").map((t) => t.trim()).filter(Boolean).map(Number),
    descr: descr[1], byColumns: /'fortran_order':\s*True/.test(text), offset: start + length,
  };
}

const READERS = {
  f8: "getFloat64", f4: "getFloat32", i1: "getInt8", i2: "getInt16", i4: "getInt32",
  u1: "getUint8", u2: "getUint16", u4: "getUint32", i8: "getBigInt64", u8: "getBigUint64",
};

/** Numbers of an npy file in C order, with their shape. */
export function readNpy(bytes) {
  const { shape, descr, byColumns, offset } = readHead(bytes);
  const kind = descr.slice(1);
  if (!READERS[kind]) throw new FileProblem(`Numbers of type ${descr} are not read here. Wanted real numbers: array.astype(float).`);
  const size = Number(kind[1]);
  const total = shape.reduce((a, b) => a * b, 1);
  if (bytes.length - offset < total * size) throw new FileProblem(`This npy file is cut short. ${SAVE}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset);
  const found = new Float64Array(total);
  for (let i = 0; i < total; i += 1) found[i] = Number(view[READERS[kind]](i * size, descr[0] !== ">"));
  if (!byColumns || shape.length !== 2) return { shape, numbers: found };
  const [rows, columns] = shape;
  const turned = new Float64Array(total);
  for (let r = 0; r < rows; r += 1) for (let c = 0; c < columns; c += 1) turned[r * columns + c] = found[c * rows + r];
  return { shape, numbers: turned };
}

/** An npy file of doubles in C order. */
export function writeNpy(numbers, shape) {
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const text = `{'descr': '<f8', 'fortran_order': False, 'shape': (${sizes}), }`;
  const length = Math.ceil((10 + text.length + 1) / 64) * 64 - 10;
  const bytes = new Uint8Array(10 + length + 8 * numbers.length);
  bytes.set(MAGIC);
  bytes[6] = 1;
  new DataView(bytes.buffer).setUint16(8, length, true);
  bytes.set(new TextEncoder().encode(`${text.padEnd(length - 1)}\n`), 10);
  bytes.set(new Uint8Array(Float64Array.from(numbers).buffer), 10 + length);
  return bytes;
}

const MISSING = new Set(["", "nan", "na", "null", "-"]);

/** Numbers of a CSV: commas, semicolons, tabs or spaces; one line of names is skipped. */
export function readCsv(text) {
  const lines = text.replace(/^\ufeff/, "").split(/\r?\n/).filter((line) => line.trim() && !line.startsWith("#"));
  if (!lines.length) throw new FileProblem("This file is empty. Wanted one line of numbers per member.");
  const separator = [",", ";", "\t"].find((mark) => lines[0].includes(mark)) ?? /\s+/;
  const cells = lines.map((line) => (separator instanceof RegExp ? line.trim() : line).split(separator)
    .map((cell) => cell.trim().replace(/^"(.*)"$/, "$1")));
  const read = (cell) => (MISSING.has(cell.toLowerCase()) ? NaN : Number(cell));
  const isName = (cell) => Number.isNaN(Number(cell)) && !MISSING.has(cell.toLowerCase());
  let names = null;
  if (cells[0].some(isName)) names = cells.shift();
  const columns = cells[0]?.length ?? 0;
  if (!columns) throw new FileProblem("This file has names, but no numbers. Wanted one line of numbers per member.");
  cells.forEach((row, i) => {
    const line = i + (names ? 2 : 1);
    if (row.length !== columns) {
      throw new FileProblem(`Line ${line} has ${row.length} values, the first one ${columns}. `
        + "Give every line the same columns, an empty cell or NaN where a number is missing.");
    }
    const wrong = row.find(isName);
    if (wrong !== undefined) {
      throw new FileProblem(`Line ${line}: “${wrong.slice(0, 30)}” is not a number. `
        + "Write numbers such as 1.5 or 2e-3, NaN where one is missing.");
    }
  });
  return { shape: [cells.length, columns], numbers: Float64Array.from(cells.flat(), read), names };
}

/** Rows as CSV, every number with the digits it needs. */
export function writeCsv(rows, names) {
  const quoted = names.map((name) => (/[",\r\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name));
  return [quoted.join(","), ...rows.map((row) => row.join(","))].join("\r\n") + "\r\n";
}

/** A file as `{shape, numbers, names}`, whichever of the two it is. */
export async function readFile(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (bytes[0] === MAGIC[0]) return { ...readNpy(bytes), names: null };
  requireText(bytes);
  return readCsv(new TextDecoder().decode(bytes));
}
