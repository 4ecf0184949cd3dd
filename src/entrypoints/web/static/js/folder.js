/** Files in dropped folders, and folders below them. */

/** @typedef {{file: File, name: string, key: string | null}} Found key: its path from the folder on that was dropped or chosen; null: it was so alone */

/**
 * All files of a drop. Entries must be taken at once: after the event the browser forgets them.
 * @param {DataTransfer} transfer
 * @returns {Promise<{found: Found[], folders: boolean}>} folders: whether one of those dropped was a folder
 */
export async function filesOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry !== null && entry !== undefined);
  if (!entries.length) return { found: [...transfer.files].map((file) => found(file, "")), folders: false };
  const all = await Promise.all(entries.map((entry) => filesBelow(entry, "")));
  return { found: all.flat(), folders: entries.some((entry) => entry.isDirectory) };
}

/** Files that were chosen, alone or by their folder. @param {File[]} files @returns {Found[]} */
export const filesChosen = (files) => files.map((file) => found(file, file.webkitRelativePath));

/** @param {File} file @param {string} path within a folder, or "" @returns {Found} */
const found = (file, path) => ({ file, name: path || file.name, key: path || null });

/** @param {FileSystemEntry} entry @param {string} path @returns {Promise<Found[]>} */
async function filesBelow(entry, path) {
  if (entry.name.startsWith(".")) return [];
  if (entry.isFile) {
    const file = await new Promise((/** @type {(file: File) => void} */ resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject));
    return [found(file, path && path + file.name)];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  const below = [];
  for (;;) {
    // It hands out a hundred or so at a time, and none at the end.
    const some = await new Promise((/** @type {(entries: FileSystemEntry[]) => void} */ resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return below;
    for (const child of some) below.push(...(await filesBelow(child, `${path}${entry.name}/`)));
  }
}
